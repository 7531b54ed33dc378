/* The legend, and the card of the chosen sensor: latest values, the last hours as a sparkline, and where to go on. */
(function () {
  "use strict";
  const live = window.weirLive, map = window.weirMap, node = map.node;
  const SCALE = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"];
  const by = (id) => document.getElementById(id);

  map.legend = function (range) {
    const box = by("legend"), colour = map.filter.colour;
    if (!box) return;
    box.replaceChildren();
    if (colour === "status") {
      for (const [name, what] of [["ok", "ok"], ["flagged", "just flagged"], ["alert", "in alert"], ["silent", "silent"]]) {
        const line = node("div", "legend-line");
        line.append(node("span", "dot dot-" + name), node("span", "", what));
        box.append(line);
      }
    } else {
      if (map.past) range = map.past.range();
      const sample = [...live.sensors.values()].find((one) => colour in one.units);
      const sign = sample ? map.unit(sample, colour) : "";
      const ramp = node("div", "ramp"), ends = node("div", "ramp-ends");
      ramp.style.background = "linear-gradient(90deg," + SCALE.join(",") + ")";
      ends.append(node("span", "", range ? map.number(range[0]) : "–"), node("span", "", range ? map.number(range[1]) : "–"));
      box.append(node("div", "legend-title", map.pretty(colour) + (sign ? " (" + sign + ")" : "")), ramp, ends);
    }
    if (map.cluster.shown()) box.append(node("div", "legend-note", "a number: so many, ringed by the worst"));
  };

  map.choose = function (key) {
    const before = map.chosen;
    map.chosen = key;
    for (const one of [before, key]) if (one && live.sensors.get(one)) map.draw([live.sensors.get(one)], false);
    const layer = key && map.shown.get(key);
    if (layer && layer._map) layer.bringToFront();
    map.card();
    for (const row of document.querySelectorAll(".row")) row.classList.toggle("chosen", row.dataset.sensor === map.chosen);
  };

  function go(text, path, query) {
    const link = node("a", "card-link", text);
    link.href = path + "?" + new URLSearchParams(query);
    link.onclick = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      window.weirGo(link.href);
    };
    return link;
  }

  /* Made once for each sensor: what is made anew each second could not be reached by the keyboard. */
  function make(box, one) {
    const head = node("div", "card-head"), close = node("button", "card-close", "×"), name = node("div");
    close.type = "button";
    close.setAttribute("aria-label", "Close");
    close.onclick = () => map.choose(null);
    name.append(node("strong", "", map.title(one)), node("div", "dim", one.site + " · " + one.kind));
    head.append(node("span", "dot"), name, close);
    const links = node("div", "card-links"), where = { site: one.site, sensor: one.sensor };
    links.append(go("Open sensor", "/sensor", where), go("Forecast", "/forecasts", where), go("Alerts", "/alerts", where));
    const picture = node("div", "card-spark");
    box.replaceChildren(head, node("dl", "card-values"), picture, node("div", "dim age"), links);
    box.dataset.sensor = one.k;
    sparkline(picture, one);
  }

  map.card = function () {
    const box = by("sensor-card");
    if (!box) return;
    const one = map.chosen && live.sensors.get(map.chosen);
    box.hidden = !one;
    if (!one) { delete box.dataset.sensor; return; }
    if (box.dataset.sensor !== one.k || !box.firstChild) make(box, one);
    box.querySelector(".dot").className = "dot dot-" + one.s;
    const values = box.querySelector(".card-values"), metrics = map.ordered(one);
    if (values.children.length !== 2 * metrics.length) values.replaceChildren(...metrics.flatMap(() => [node("dt"), node("dd")]));
    metrics.forEach((metric, i) => {
      map.set(values.children[2 * i], map.pretty(metric));
      map.set(values.children[2 * i + 1], map.measure(one, metric));
    });
    const when = box.querySelector(".age"), age = live.age(one.t);
    map.set(when, one.t ? one.s + ", measured " + age + (age === "now" ? "" : " ago") : "never heard");
    if (one.t) when.title = new Date(one.t).toISOString().replace("T", " ").slice(0, 19) + " UTC";
  };

  async function sparkline(picture, one) {
    const metric = map.filter.colour in one.m ? map.filter.colour : map.ordered(one)[0];
    if (!metric) return;
    map.set(picture, "…");
    try {
      const answer = await fetch("/pages/spark?" + new URLSearchParams({ site: one.site, sensor: one.sensor, metric: metric }));
      if (!answer.ok) throw new Error(answer.status);
      draw(picture, await answer.json(), metric);
    } catch (error) {
      map.set(picture, "The last hours cannot be read now");
    }
  }

  function draw(picture, found, metric) {
    if (found.ts.length < 2) { map.set(picture, "Nothing archived in the last 6 h"); return; }
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), line = document.createElementNS(svg.namespaceURI, "path");
    const low = Math.min(...found.mean), span = Math.max(...found.mean) - low || 1, first = found.ts[0], last = found.ts[found.ts.length - 1];
    const at = (i) => (2 + 226 * (found.ts[i] - first) / (last - first)).toFixed(1) + " " + (37 - 34 * (found.mean[i] - low) / span).toFixed(1);
    line.setAttribute("d", found.ts.map((ts, i) => (i && ts - found.ts[i - 1] < 1200000 ? "L" : "M") + at(i)).join(""));
    svg.setAttribute("viewBox", "0 0 230 40");
    svg.setAttribute("role", "img");
    const told = map.pretty(metric) + ", last 6 h: " + map.number(low) + " … " + map.number(low + (span === 1 ? 0 : span));
    svg.setAttribute("aria-label", told);
    svg.append(line);
    picture.replaceChildren(svg, node("div", "dim", told));
  }
})();
