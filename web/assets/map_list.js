/* The list beside the map: the first sensors that pass the filters, the worst first. Rows are kept and reordered. */
(function () {
  "use strict";
  const live = window.weirLive, map = window.weirMap, ROWS = 200;
  const by = (id) => document.getElementById(id);
  const rows = new Map();
  function row(one) {
    let element = rows.get(one.k);
    if (!element) {
      element = map.node("div", "row");
      element.dataset.sensor = one.k;
      element.tabIndex = 0;
      element.setAttribute("role", "listitem");
      element.append(map.node("span", "dot"), map.node("span", "row-name"), map.node("span", "row-age"), map.node("span", "row-values"));
      rows.set(one.k, element);
    }
    const [dot, name, age, values] = element.children;
    dot.className = "dot dot-" + one.s;
    dot.title = one.s;
    map.set(name, map.title(one));
    map.set(age, live.age(one.t));
    map.set(values, map.ordered(one).map((metric) => map.measure(one, metric)).join("  ·  ") || "no reading yet");
    element.title = one.k;
    element.classList.toggle("chosen", one.k === map.chosen);
    return element;
  }

  map.list = function () {
    const box = by("sensor-list");
    if (!box) return;
    const found = [...live.sensors.values()].filter(map.passes);
    found.sort((a, b) => map.WEIGHT[a.s] - map.WEIGHT[b.s] || (a.k < b.k ? -1 : 1));
    const wanted = found.slice(0, ROWS).map(row);
    wanted.forEach((element, i) => { if (box.children[i] !== element) box.insertBefore(element, box.children[i] || null); });
    while (box.children.length > wanted.length) box.lastChild.remove();
    if (rows.size > 4 * ROWS) for (const [key, element] of rows) if (!element.isConnected) rows.delete(key);
    const more = by("list-more");
    const text = found.length > ROWS ? "and " + (found.length - ROWS) + " more: search to find them" : found.length ? "" : "No sensor fits these filters";
    if (more) map.set(more, live.sensors.size ? text : "Waiting for the first sensor …");
    if (by("sensor-count")) map.set(by("sensor-count"), live.sensors.size.toLocaleString("en") + (live.sensors.size === 1 ? " sensor" : " sensors"));
    for (const status of Object.keys(map.COLOUR)) {
      const button = by("status-" + status);
      if (!button) continue;
      map.set(button.lastElementChild, String(live.counts[status] ?? "–"));
      button.setAttribute("aria-pressed", String(map.filter.status.has(status)));
    }
  };

  let listed = 0, waiting = false;
  map.listSoon = function () {
    if (waiting) return;
    waiting = true;
    setTimeout(() => { waiting = false; listed = Date.now(); map.list(); map.card(); }, Math.max(0, 250 - (Date.now() - listed)));
  };
  setInterval(() => { if (by("sensor-list")) map.listSoon(); }, 1000);

  function pickRow(event) {
    const element = event.target.closest && event.target.closest(".row");
    if (!element) return;
    map.choose(element.dataset.sensor);
    const one = live.sensors.get(map.chosen);
    if (one && one.at && map.leaflet && !map.leaflet.getBounds().contains(one.at)) map.leaflet.panTo(one.at);
  }
  document.addEventListener("click", pickRow);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter") pickRow(event);
    if (event.key === "Escape" && map.chosen && by("sensor-card")) map.choose(null);
  });
})();
