/* The map and the list beside it. Circles are made once and restyled; the view is never redrawn. */
(function () {
  "use strict";
  const live = window.weirLive;
  const COLOUR = { ok: "#2f9e44", flagged: "#f08c00", alert: "#e03131", silent: "#868e96" };
  const WEIGHT = { alert: 0, flagged: 1, silent: 2, ok: 3 };
  const SYMBOL = { Cel: "°C", "%RH": "%", "%EL": "%", "/": "" };
  const SCALE = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"];
  const ROWS = 200;
  const map = window.weirMap; // begun by basemap.js
  map.shown = new Map();
  let leaflet = null, group = null, renderer = null, fitted = false;
  let chosen = null, range = null, filter = { site: "", kind: "", colour: "status", search: "", status: new Set() };

  const dark = () => document.documentElement.getAttribute("data-mantine-color-scheme") === "dark";
  const by = (id) => document.getElementById(id);

  map.number = (v) => {
    if (v === null || v === undefined) return "–";
    if (Math.abs(v) >= 10000) return Math.round(v).toLocaleString("en");
    return String(Number(v.toPrecision(4)));
  };
  const unit = (one, metric) => { const u = one.units[metric] || ""; return u in SYMBOL ? SYMBOL[u] : u; };
  const measure = (one, metric) => (map.number(one.m[metric]) + " " + unit(one, metric)).trim();
  /* As the birth lists them, then the rest; what is left in the battery interests last. */
  const ordered = (one) => [...new Set([...Object.keys(one.units), ...Object.keys(one.m).sort()])].filter((name) => name in one.m).sort((a, b) => (a === "battery") - (b === "battery"));
  const title = (one) => one.name || one.sensor;
  const pretty = (name) => { const t = name.replaceAll("_", " "); return t.charAt(0).toUpperCase() + t.slice(1); };

  /* dash-leaflet calls this as `pointToLayer` of an invisible point: it is how we get hold of the map. */
  map.attach = function (feature, at, context) {
    const marker = L.marker(at, { icon: L.divIcon({ className: "nothing", iconSize: [0, 0] }), interactive: false, keyboard: false });
    const found = context && context.map;
    if (found && found !== leaflet) setTimeout(() => begin(found), 0);
    return marker;
  };

  function begin(found) {
    leaflet = found;
    fitted = false;
    chosen = null;
    map.shown = new Map();
    leaflet.createPane("sensors").style.zIndex = 420;
    renderer = L.canvas({ pane: "sensors", padding: 0.3, tolerance: 4 });
    group = L.featureGroup([], { pane: "sensors" }).addTo(leaflet);
    group.on("click", (event) => { L.DomEvent.stopPropagation(event); choose(event.layer.key); });
    leaflet.on("click", () => choose(null));
    group.bindTooltip((layer) => { const e = document.createElement("span"); const one = live.sensors.get(layer.key); e.textContent = one ? title(one) + " · " + one.s : ""; return e; }, { sticky: true, direction: "top", opacity: 0.95 });
    const credit = leaflet.getContainer().closest(".map-box").dataset.credit;
    if (leaflet.attributionControl && credit) leaflet.attributionControl.addAttribution(credit);
    new ResizeObserver(() => { if (leaflet === found) found.invalidateSize({ pan: false }); }).observe(found.getContainer());
    map.base(leaflet);
    draw([...live.sensors.values()], true);
  }

  /* --- circles --- */
  const passes = (one) => (!filter.site || one.site === filter.site) && (!filter.kind || one.kind === filter.kind) &&
    (!filter.status.size || filter.status.has(one.s)) &&
    (!filter.search || (one.k + " " + one.name).toLowerCase().includes(filter.search));

  function mix(share) {
    const x = Math.min(1, Math.max(0, share)) * (SCALE.length - 1), i = Math.min(SCALE.length - 2, Math.floor(x)), f = x - i;
    const part = (c, n) => parseInt(c.slice(1 + 2 * n, 3 + 2 * n), 16);
    return "rgb(" + [0, 1, 2].map((n) => Math.round(part(SCALE[i], n) * (1 - f) + part(SCALE[i + 1], n) * f)).join(",") + ")";
  }

  function style(one) {
    const edge = dark() ? "#11151a" : "#ffffff";
    let fill = COLOUR[one.s], faint = false;
    if (filter.colour !== "status") {
      const v = one.m[filter.colour];
      faint = v === undefined || one.s === "silent";
      fill = faint ? COLOUR.silent : mix(range && range[1] > range[0] ? (v - range[0]) / (range[1] - range[0]) : 0.5);
    }
    const many = live.sensors.size > 1500;
    const big = one.s === "alert" ? 3 : one.s === "flagged" ? 1 : 0;
    if (one.k === chosen) return { radius: (many ? 6 : 9) + big, color: dark() ? "#ffffff" : "#1a1b1e", weight: 3, fillColor: fill, fillOpacity: 1 };
    return { radius: (many ? 4 : 7) + big, color: edge, weight: many ? 0.8 : 1.5, fillColor: fill, fillOpacity: faint ? 0.45 : 0.92 };
  }

  function place(one) {
    let layer = map.shown.get(one.k);
    if (!one.at || !passes(one)) {
      if (layer) { group.removeLayer(layer); map.shown.delete(one.k); }
      return;
    }
    if (!layer) {
      layer = L.circleMarker(one.at, Object.assign({ renderer: renderer, pane: "sensors" }, style(one)));
      layer.key = one.k;
      layer.was = one.s;
      map.shown.set(one.k, layer);
      group.addLayer(layer);
      return;
    }
    const at = layer.getLatLng();
    if (at.lat !== one.at[0] || at.lng !== one.at[1]) layer.setLatLng(one.at);
    layer.setStyle(style(one));
    layer.setRadius(style(one).radius);
    if (layer.was !== one.s && one.s === "alert") layer.bringToFront();
    layer.was = one.s;
  }

  function measureRange() {
    if (filter.colour === "status") { range = null; return; }
    const values = [];
    for (const one of live.sensors.values()) if (one.s !== "silent" && one.m[filter.colour] !== undefined) values.push(one.m[filter.colour]);
    values.sort((a, b) => a - b);
    range = values.length ? [values[Math.floor(values.length * 0.02)], values[Math.min(values.length - 1, Math.floor(values.length * 0.98))]] : null;
  }

  function fit() {
    const points = [...map.shown.values()].map((layer) => layer.getLatLng());
    if (!points.length || !leaflet) return false;
    leaflet.fitBounds(L.latLngBounds(points), { padding: [44, 44], maxZoom: 15, animate: false });
    return true;
  }

  function draw(changed, all) {
    if (!leaflet || !by("map")) return;
    if (all) {
      const gone = [...map.shown.keys()].filter((key) => !live.sensors.has(key));
      for (const key of gone) { group.removeLayer(map.shown.get(key)); map.shown.delete(key); }
      measureRange();
      legend();
    }
    const list = all ? [...live.sensors.values()].sort((a, b) => WEIGHT[b.s] - WEIGHT[a.s]) : changed;
    for (const one of list) place(one);
    if (!fitted) fitted = fit();
    const empty = by("map-empty");
    if (empty) {
      empty.hidden = map.shown.size > 0;
      empty.textContent = live.sensors.size ? "No sensor fits these filters" : "Waiting for the first sensor …";
    }
  }

  map.restyle = function () {
    if (!leaflet || !by("map")) return;
    leaflet.eachLayer((layer) => { if (layer.feature && layer.setStyle && layer.feature.properties.layer) layer.setStyle(map.baseStyle(layer.feature)); });
    draw([], true);
  };

  /* --- legend, card --- */
  function node(tag, className, text) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function legend() {
    const box = by("legend");
    if (!box) return;
    box.replaceChildren();
    if (filter.colour === "status") {
      for (const [name, what] of [["ok", "ok"], ["flagged", "just flagged"], ["alert", "in alert"], ["silent", "silent"]]) {
        const line = node("div", "legend-line");
        line.append(node("span", "dot dot-" + name), node("span", "", what));
        box.append(line);
      }
      return;
    }
    const sample = [...live.sensors.values()].find((one) => filter.colour in one.units);
    const sign = sample ? unit(sample, filter.colour) : "";
    box.append(node("div", "legend-title", pretty(filter.colour) + (sign ? " (" + sign + ")" : "")));
    const ramp = node("div", "ramp");
    ramp.style.background = "linear-gradient(90deg," + SCALE.join(",") + ")";
    const ends = node("div", "ramp-ends");
    ends.append(node("span", "", range ? map.number(range[0]) : "–"), node("span", "", range ? map.number(range[1]) : "–"));
    box.append(ramp, ends);
  }

  function choose(key) {
    const before = chosen;
    chosen = key;
    for (const one of [before, key]) if (one && live.sensors.get(one)) place(live.sensors.get(one));
    if (key && map.shown.get(key)) map.shown.get(key).bringToFront();
    card();
    for (const row of document.querySelectorAll(".row")) row.classList.toggle("chosen", row.dataset.sensor === chosen);
  }

  function card() {
    const box = by("sensor-card");
    if (!box) return;
    const one = chosen && live.sensors.get(chosen);
    box.hidden = !one;
    if (!one) return;
    const head = node("div", "card-head");
    const close = node("button", "card-close", "×");
    close.type = "button";
    close.setAttribute("aria-label", "Close");
    close.onclick = () => choose(null);
    const name = node("div");
    name.append(node("strong", "", title(one)), node("div", "dim", one.site + " · " + one.kind));
    head.append(node("span", "dot dot-" + one.s), name, close);
    const values = node("dl", "card-values");
    for (const metric of ordered(one)) values.append(node("dt", "", pretty(metric)), node("dd", "", measure(one, metric)));
    const foot = node("div", "card-foot");
    const link = node("a", "card-link", "Open sensor");
    link.href = "/sensor?" + new URLSearchParams({ site: one.site, sensor: one.sensor });
    link.onclick = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      history.pushState({}, "", link.href);
      window.dispatchEvent(new CustomEvent("_dashprivate_pushstate")); // as dcc.Link does: no reload
    };
    const when = node("span", "dim age", one.t ? one.s + ", " + live.age(one.t) + (live.age(one.t) === "now" ? "" : " ago") : "never heard");
    if (one.t) when.title = new Date(one.t).toISOString().replace("T", " ").slice(0, 19) + " UTC";
    foot.append(when, link);
    box.replaceChildren(head, values, foot);
  }

  /* --- list --- */
  const rows = new Map();
  function row(one) {
    let element = rows.get(one.k);
    if (!element) {
      element = node("div", "row");
      element.dataset.sensor = one.k;
      element.tabIndex = 0;
      element.setAttribute("role", "listitem");
      element.append(node("span", "dot"), node("span", "row-name"), node("span", "row-age"), node("span", "row-values"));
      rows.set(one.k, element);
    }
    const [dot, name, age, values] = element.children;
    dot.className = "dot dot-" + one.s;
    dot.title = one.s;
    set(name, title(one));
    set(age, live.age(one.t));
    set(values, ordered(one).map((metric) => measure(one, metric)).join("  ·  ") || "no reading yet");
    element.title = one.k;
    element.classList.toggle("chosen", one.k === chosen);
    return element;
  }
  function set(element, text) { if (element.textContent !== text) element.textContent = text; }

  function list() {
    const box = by("sensor-list");
    if (!box) return;
    const found = [...live.sensors.values()].filter(passes);
    found.sort((a, b) => WEIGHT[a.s] - WEIGHT[b.s] || (a.k < b.k ? -1 : 1));
    const wanted = found.slice(0, ROWS).map(row);
    wanted.forEach((element, i) => { if (box.children[i] !== element) box.insertBefore(element, box.children[i] || null); });
    while (box.children.length > wanted.length) box.lastChild.remove();
    if (rows.size > 4 * ROWS) for (const [key, element] of rows) if (!element.isConnected) rows.delete(key);
    const more = by("list-more");
    const text = found.length > ROWS ? "and " + (found.length - ROWS) + " more: search to find them" : found.length ? "" : "No sensor fits these filters";
    if (more) set(more, live.sensors.size ? text : "Waiting for the first sensor …");
    if (by("sensor-count")) set(by("sensor-count"), live.sensors.size.toLocaleString("en") + (live.sensors.size === 1 ? " sensor" : " sensors"));
    for (const status of Object.keys(COLOUR)) {
      const button = by("status-" + status);
      if (!button) continue;
      set(button.lastElementChild, String(live.counts[status] ?? "–"));
      button.setAttribute("aria-pressed", String(filter.status.has(status)));
    }
  }

  let listed = 0, waiting = false;
  function listSoon() {
    if (waiting) return;
    waiting = true;
    setTimeout(() => { waiting = false; listed = Date.now(); list(); card(); }, Math.max(0, 250 - (Date.now() - listed)));
  }

  let options = "";
  function offer() {
    const all = [...live.sensors.values()], put = window.dash_clientside.set_props;
    const sorted = (values) => [...new Set(values)].sort();
    const found = [sorted(all.map((one) => one.site)), sorted(all.map((one) => one.kind)), sorted(all.flatMap((one) => Object.keys(one.m)))];
    const text = JSON.stringify(found);
    if (text === options || !put || !by("site-filter")) return;
    options = text;
    put("site-filter", { data: found[0] });
    put("kind-filter", { data: found[1] });
    put("colour-select", { data: [{ value: "status", label: "Status" }, ...found[2].map((name) => ({ value: name, label: pretty(name) }))] });
  }

  live.listeners.push(function (changed, whole) {
    if (!by("map")) return;
    draw(changed, whole);
    if (changed.length) listSoon();
    if (whole || changed.some((one) => !map.shown.has(one.k))) offer();
  });
  setInterval(() => { if (by("sensor-list")) { listSoon(); } }, 1000);
  setInterval(() => { if (filter.colour !== "status" && by("map")) draw([], true); }, 10000);

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-status]");
    if (button) {
      const name = button.dataset.status;
      if (!filter.status.delete(name)) filter.status.add(name);
      apply();
      return;
    }
    if (event.target.closest("#fit")) { fit(); return; }
    pickRow(event);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter") pickRow(event);
    if (event.key === "Escape" && chosen) choose(null);
  });
  function pickRow(event) {
    const element = event.target.closest && event.target.closest(".row");
    if (!element) return;
    choose(element.dataset.sensor);
    const layer = map.shown.get(chosen);
    if (layer && leaflet && !leaflet.getBounds().contains(layer.getLatLng())) leaflet.panTo(layer.getLatLng());
  }

  function apply() {
    window.weirAddress({ site: filter.site, kind: filter.kind, status: [...filter.status], colour: filter.colour, search: filter.search });
    draw([], true);
    list();
    card();
  }

  window.dash_clientside.weir.filter = function (site, kind, colour, search) {
    options = "";
    const fresh = !window.dash_clientside.callback_context.triggered.length || filter.page !== by("map-empty");
    if (fresh) {
      const wanted = (new URLSearchParams(location.search).get("status") || "").split(",");
      filter.status = new Set(wanted.filter((one) => one in COLOUR));
      filter.page = by("map-empty");
    }
    Object.assign(filter, { site: site || "", kind: kind || "", colour: colour || "status", search: (search || "").trim().toLowerCase() });
    apply();
    offer();
    return window.dash_clientside.no_update;
  };
})();
