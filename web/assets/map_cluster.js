/* Sensors that would lie on each other become one ring with their number, in the colour of the worst of them. */
(function () {
  "use strict";
  const map = window.weirMap, CELL = 64, CLOSE = 17;
  const ORDER = ["alert", "flagged", "silent", "ok"];
  const cluster = map.cluster = {};
  let leaflet = null, group = null, rings = null, cells = new Map(), stale = true, dense = false;

  cluster.begin = function (found, sensors) {
    [leaflet, group, cells, stale, dense] = [found, sensors, new Map(), true, false];
    leaflet.createPane("clusters").style.zIndex = 430;
    rings = L.layerGroup([], { pane: "clusters" }).addTo(leaflet);
    leaflet.on("zoomend", () => { stale = true; cluster.settle(); });
  };
  cluster.later = () => { stale = true; };
  cluster.shown = () => cells.size > 0;
  cluster.enter = () => { stale = true; };
  cluster.leave = (layer) => { stale = true; layer.cell = null; };
  cluster.changed = function (layer, before, now) {
    const cell = layer.cell;
    if (!cell) return;
    cell.counts[before] -= 1;
    cell.counts[now] += 1;
    colour(cell);
  };

  const worst = (counts) => ORDER.find((name) => counts[name] > 0) || "ok";

  function colour(cell) {
    const name = worst(cell.counts), size = cell.layers.length, element = cell.ring.getElement();
    if (!element || (cell.colour === name && cell.size === size)) return;
    Object.assign(cell, { colour: name, size: size });
    element.className = element.className.replace(/ cluster-\w+/, "") + " cluster-" + name;
    const parts = ORDER.filter((one) => cell.counts[one]).map((one) => cell.counts[one] + " " + one);
    element.setAttribute("aria-label", size + " sensors: " + parts.join(", "));
    element.title = parts.join(", ");
  }

  /* How many in one cell are too many; 0: however many there are, all are shown. */
  function least() {
    const wish = map.filter.cluster;
    if (wish === "off" || leaflet.getZoom() >= CLOSE) return 0;
    if (wish === "on") return 2;
    dense = map.shown.size > (dense ? 500 : 600); // no flicker at the edge
    return dense ? 4 : 0;
  }

  cluster.settle = function () {
    if (!stale || !leaflet) return;
    stale = false;
    const enough = least(), found = new Map(), zoom = leaflet.getZoom();
    if (enough) {
      for (const layer of map.shown.values()) {
        const at = leaflet.project(layer.getLatLng(), zoom), key = Math.floor(at.x / CELL) + "/" + Math.floor(at.y / CELL);
        const held = found.get(key);
        if (held) held.push(layer); else found.set(key, [layer]);
      }
    }
    rings.clearLayers();
    cells = new Map();
    const hidden = new Set();
    for (const [key, layers] of found) {
      if (layers.length < enough) continue;
      for (const layer of layers) hidden.add(layer);
      ring(key, layers);
    }
    for (const layer of map.shown.values()) {
      if (!hidden.has(layer)) { layer.cell = null; if (!group.hasLayer(layer)) group.addLayer(layer); }
      else if (group.hasLayer(layer)) group.removeLayer(layer);
    }
    map.legend(map.range);
  };

  function ring(key, layers) {
    const counts = { ok: 0, flagged: 0, alert: 0, silent: 0 };
    let lat = 0, lng = 0;
    const cell = { key: key, layers: layers, counts: counts };
    for (const layer of layers) {
      counts[layer.was] += 1;
      lat += layer.getLatLng().lat;
      lng += layer.getLatLng().lng;
      layer.cell = cell;
    }
    const text = document.createElement("span"), size = layers.length < 10 ? 28 : layers.length < 100 ? 34 : 42;
    text.textContent = layers.length.toLocaleString("en");
    const icon = L.divIcon({ className: "cluster", html: text, iconSize: [size, size] });
    cell.ring = L.marker([lat / layers.length, lng / layers.length], { icon: icon, pane: "clusters", keyboard: true });
    cell.ring.on("click", () => leaflet.fitBounds(L.latLngBounds(layers.map((one) => one.getLatLng())), { padding: [60, 60], maxZoom: Math.min(18, leaflet.getZoom() + 3) }));
    rings.addLayer(cell.ring);
    cells.set(key, cell);
    colour(cell);
  }
})();
