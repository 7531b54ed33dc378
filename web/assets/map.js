/* The map. Circles are made once and restyled when their look changes; the view is never redrawn. */
(function () {
  "use strict";
  const live = window.weirLive;
  const COLOUR = { ok: "#2f9e44", flagged: "#f08c00", alert: "#e03131", silent: "#868e96" };
  const WEIGHT = { alert: 0, flagged: 1, silent: 2, ok: 3 };
  const SYMBOL = { Cel: "°C", degF: "°F", "%RH": "%", "%EL": "%", "/": "" };
  const SCALE = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"];
  const map = window.weirMap; // begun by basemap.js
  map.shown = new Map();
  let leaflet = null, group = null, renderer = null, fitted = false;
  let range = null;
  const filter = { site: "", kind: "", colour: "status", metric: "", search: "", cluster: "auto", box: null, at: 0, status: new Set() };
  Object.assign(map, { filter: filter, COLOUR: COLOUR, WEIGHT: WEIGHT });
  map.chosen = null;

  const dark = () => document.documentElement.getAttribute("data-mantine-color-scheme") === "dark";
  const by = (id) => document.getElementById(id);
  map.node = function (tag, className, text) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  map.set = (element, text) => { if (element && element.textContent !== text) element.textContent = text; };

  map.number = (v) => {
    if (v === null || v === undefined) return "–";
    if (Math.abs(v) >= 10000) return Math.round(v).toLocaleString("en");
    return String(Number(v.toPrecision(4)));
  };
  const unit = map.unit = (one, metric) => { const u = one.units[metric] || ""; return u in SYMBOL ? SYMBOL[u] : u; };
  map.measure = (one, metric) => (map.number(one.m[metric]) + " " + unit(one, metric)).trim();
  /* As the birth lists them, then the rest; what is left in the battery interests last. */
  map.ordered = (one) => [...new Set([...Object.keys(one.units), ...Object.keys(one.m).sort()])].filter((name) => name in one.m).sort((a, b) => (a === "battery") - (b === "battery"));
  const title = map.title = (one) => one.name || one.sensor;
  const pretty = map.pretty = (name) => { const t = name.replaceAll("_", " "); return t.charAt(0).toUpperCase() + t.slice(1); };

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
    map.chosen = null;
    map.shown = new Map();
    leaflet.createPane("sensors").style.zIndex = 420;
    renderer = L.canvas({ pane: "sensors", padding: 0.3, tolerance: 4 });
    group = L.featureGroup([], { pane: "sensors" }).addTo(leaflet);
    group.on("click", (event) => { L.DomEvent.stopPropagation(event); map.choose(event.layer.key); });
    leaflet.on("click", () => map.choose(null));
    group.bindTooltip((layer) => { const e = document.createElement("span"); const one = live.sensors.get(layer.key); e.textContent = one ? title(one) + " · " + one.s : ""; return e; }, { sticky: true, direction: "top", opacity: 0.95 });
    const credit = leaflet.getContainer().closest(".map-box").dataset.credit;
    if (leaflet.attributionControl && credit) leaflet.attributionControl.addAttribution(credit);
    new ResizeObserver(() => { if (leaflet === found) found.invalidateSize({ pan: false }); }).observe(found.getContainer());
    map.leaflet = leaflet;
    map.base(leaflet);
    map.cluster.begin(leaflet, group);
    map.select.begin(leaflet);
    draw([...live.sensors.values()], true);
  }

  /* --- circles --- */
  const inside = (at, box) => Boolean(at) && at[0] >= box[0] && at[0] <= box[2] && at[1] >= box[1] && at[1] <= box[3];
  /* Played back, a sensor is what it was then. */
  const statusOf = map.statusOf = (one) => map.past ? map.past.status(one) : one.s;
  const passes = map.passes = (one) => (!filter.site || one.site === filter.site) && (!filter.kind || one.kind === filter.kind) &&
    (!filter.status.size || filter.status.has(statusOf(one))) && (!filter.metric || filter.metric in one.m || filter.metric in one.units) &&
    (!filter.box || inside(one.at, filter.box)) &&
    (!filter.search || (one.k + " " + one.name).toLowerCase().includes(filter.search));

  function mix(share) {
    const x = Math.min(1, Math.max(0, share)) * (SCALE.length - 1), i = Math.min(SCALE.length - 2, Math.floor(x)), f = x - i;
    const part = (c, n) => parseInt(c.slice(1 + 2 * n, 3 + 2 * n), 16);
    return "rgb(" + [0, 1, 2].map((n) => Math.round(part(SCALE[i], n) * (1 - f) + part(SCALE[i + 1], n) * f)).join(",") + ")";
  }

  function style(one) {
    const status = statusOf(one), coloured = filter.colour !== "status";
    const share = coloured ? shareOf(one) : null, faint = coloured && share === null;
    const fill = coloured ? (faint ? COLOUR.silent : mix(share)) : COLOUR[status];
    const many = live.sensors.size > 1500;
    const radius = (many ? 4 : 7) + (status === "alert" ? 3 : status === "flagged" ? 1 : 0);
    if (one.k === map.chosen) return { radius: radius + 2, color: dark() ? "#ffffff" : "#1a1b1e", weight: 3, fillColor: fill, fillOpacity: 1 };
    return { radius: radius, color: dark() ? "#11151a" : "#ffffff", weight: many ? 0.8 : 1.5, fillColor: fill, fillOpacity: faint ? 0.45 : 0.92 };
  }

  /* Where in the range of the legend a sensor's value lies, null if it has none. */
  function shareOf(one) {
    if (map.past) return map.past.share(one);
    const v = one.m[filter.colour];
    if (v === undefined || one.s === "silent") return null;
    return range && range[1] > range[0] ? (v - range[0]) / (range[1] - range[0]) : 0.5;
  }

  function place(one) {
    let layer = map.shown.get(one.k);
    if (!one.at || !passes(one)) {
      if (layer) { map.cluster.leave(layer); group.removeLayer(layer); map.shown.delete(one.k); }
      return;
    }
    const wanted = style(one), look = Object.values(wanted).join(" "), status = statusOf(one);
    if (!layer) {
      layer = L.circleMarker(one.at, Object.assign({ renderer: renderer, pane: "sensors" }, wanted));
      Object.assign(layer, { key: one.k, was: status, look: look });
      map.shown.set(one.k, layer);
      map.cluster.enter(layer);
      return;
    }
    const at = layer.getLatLng();
    if (at.lat !== one.at[0] || at.lng !== one.at[1]) { layer.setLatLng(one.at); map.cluster.later(); }
    if (layer.look !== look) { layer.look = look; layer.setStyle(wanted); layer.setRadius(wanted.radius); }
    if (layer.was !== status) {
      map.cluster.changed(layer, layer.was, status);
      layer.was = status;
      if (status === "alert" && group.hasLayer(layer)) layer.bringToFront();
    }
  }

  function measureRange() {
    if (filter.colour === "status") { range = map.range = null; return; }
    const values = [];
    for (const one of live.sensors.values()) if (one.s !== "silent" && one.m[filter.colour] !== undefined) values.push(one.m[filter.colour]);
    values.sort((a, b) => a - b);
    range = map.range = values.length ? [values[Math.floor(values.length * 0.02)], values[Math.min(values.length - 1, Math.floor(values.length * 0.98))]] : null;
  }

  const fit = map.fit = function () {
    const points = [...map.shown.values()].map((layer) => layer.getLatLng());
    if (!points.length || !leaflet) return false;
    leaflet.fitBounds(L.latLngBounds(points), { padding: [44, 44], maxZoom: 15, animate: false });
    return true;
  };

  const draw = map.draw = function (changed, all) {
    if (!leaflet || !by("map")) return;
    if (all) {
      const gone = [...map.shown.keys()].filter((key) => !live.sensors.has(key));
      for (const key of gone) { map.cluster.leave(map.shown.get(key)); group.removeLayer(map.shown.get(key)); map.shown.delete(key); }
      measureRange();
      map.legend(range);
    }
    const list = all ? [...live.sensors.values()].sort((a, b) => WEIGHT[b.s] - WEIGHT[a.s]) : changed;
    for (const one of list) place(one);
    map.cluster.settle();
    if (!fitted) fitted = fit();
    const empty = by("map-empty");
    if (empty) {
      empty.hidden = map.shown.size > 0;
      empty.textContent = live.sensors.size ? "No sensor fits these filters" : "Waiting for the first sensor …";
    }
  };

  map.restyle = function () {
    if (!leaflet || !by("map")) return;
    leaflet.eachLayer((layer) => { if (layer.feature && layer.setStyle && layer.feature.properties.layer) layer.setStyle(map.baseStyle(layer.feature)); });
    draw([], true);
  };

  let options = "", offered = 0;
  function offer() {
    const all = [...live.sensors.values()], put = window.dash_clientside.set_props;
    const sorted = (values) => [...new Set(values)].sort();
    const found = [sorted(all.map((one) => one.site)), sorted(all.map((one) => one.kind)), sorted(all.flatMap((one) => [...Object.keys(one.m), ...Object.keys(one.units)]))];
    const text = JSON.stringify(found);
    if (text === options || !put || !by("site-filter")) return;
    options = text;
    put("site-filter", { data: found[0] });
    put("kind-filter", { data: found[1] });
    put("metric-filter", { data: found[2].map((name) => ({ value: name, label: pretty(name) })) });
    put("colour-select", { data: [{ value: "status", label: "Status" }, ...found[2].map((name) => ({ value: name, label: pretty(name) }))] });
  }

  live.listeners.push(function (changed, whole) {
    if (!by("map")) return;
    draw(changed, whole);
    if (changed.length) map.listSoon();
    if (whole || live.sensors.size !== offered) { offered = live.sensors.size; offer(); }
  });
  setInterval(() => { if (filter.colour !== "status" && by("map")) draw([], true); }, 10000);

  map.apply = function () {
    const box = filter.box ? filter.box.map((one) => one.toFixed(5)) : "";
    window.weirAddress({
      site: filter.site, kind: filter.kind, metric: filter.metric, status: [...filter.status], colour: filter.colour,
      search: filter.search, cluster: filter.cluster, box: box, at: filter.at ? String(filter.at) : "",
    });
    draw([], true);
    map.list();
    map.card();
    map.select.tell();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-status]");
    if (button && button.classList.contains("status")) {
      const name = button.dataset.status;
      if (!filter.status.delete(name)) filter.status.add(name);
      map.apply();
    } else if (event.target.closest("#fit")) fit();
  });

  /* What only the address knows when the page is new: statuses, the rectangle and the moment. */
  function arrive() {
    const query = new URLSearchParams(location.search), wanted = (query.get("status") || "").split(",");
    const box = (query.get("box") || "").split(",").map(Number), at = Number(query.get("at"));
    filter.status = new Set(wanted.filter((one) => one in COLOUR));
    filter.box = box.length === 4 && box.every(Number.isFinite) && box[0] <= box[2] && box[1] <= box[3] ? box : null;
    filter.at = Number.isFinite(at) ? at : 0;
    filter.page = by("map-empty");
  }

  window.dash_clientside.weir.filter = function (site, kind, colour, search, metric, cluster) {
    options = "";
    if (filter.page !== by("map-empty")) arrive();
    const before = filter.colour;
    Object.assign(filter, {
      site: site || "", kind: kind || "", colour: colour || "status", metric: metric || "", cluster: cluster || "auto",
      search: (search || "").trim().toLowerCase(),
    });
    map.cluster.later();
    map.apply();
    map.playback.begin(before !== filter.colour);
    offer();
    return window.dash_clientside.no_update;
  };
})();
