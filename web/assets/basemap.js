/* The vendored basemap: colours for light and dark, names of places, and the world once one zooms out. */
(function () {
  "use strict";
  const map = {};
  window.weirMap = map;
  let leaflet = null, labels = null, world = null;
  const dark = () => document.documentElement.getAttribute("data-mantine-color-scheme") === "dark";

  map.baseStyle = function (feature) {
    const d = dark(), layer = feature.properties.layer;
    if (layer === "lake") return { fillColor: d ? "#1f3a52" : "#cfe4f3", color: d ? "#31506b" : "#9ec3de", weight: 1, fillOpacity: 1 };
    if (layer === "river") return { color: d ? "#31506b" : "#a9cbe3", weight: (feature.properties.rank || 9) <= 6 ? 3 : 2, opacity: 0.95, fill: false, lineCap: "round" };
    if (layer === "urban") return { fillColor: d ? "#262d36" : "#ebe5d8", stroke: false, fillOpacity: 1 };
    if (layer === "land") return { fillColor: d ? "#1d232b" : "#f4f1ea", color: d ? "#2e3743" : "#dcd7ca", weight: 0.5, fillOpacity: 1 };
    return { color: d ? "#465261" : "#c2bba9", weight: 1.2, dashArray: "5 4", fill: false };
  };

  function backdrop() {
    const box = leaflet.getContainer();
    if (!box.classList.contains("vendored")) return;
    box.classList.toggle("sea", Boolean(world) && leaflet.hasLayer(world));
    if (leaflet.getZoom() < 8.5 && !world) {
      world = L.layerGroup();
      const mine = leaflet, layer = world;
      leaflet.createPane("world").style.zIndex = 205;
      fetch("/basemap/world.geojson").then((answer) => answer.json()).then((data) => {
        if (mine !== leaflet) return;
        world = L.geoJSON(data, { style: map.baseStyle, pane: "world", interactive: false, renderer: L.canvas({ pane: "world" }) }).addTo(leaflet);
        box.classList.add("sea");
      }).catch(() => { if (world === layer) world = null; });
    }
    if (labels) {
      const z = leaflet.getZoom();
      labels.eachLayer((one) => {
        const element = one.getElement();
        if (element) element.style.display = z >= 5 + one.options.rank * 1.35 ? "" : "none";
      });
    }
  }

  function addLabels() {
    leaflet.createPane("labels").style.zIndex = 380;
    leaflet.getPane("labels").style.pointerEvents = "none";
    labels = L.layerGroup().addTo(leaflet);
    const mine = leaflet, target = labels;
    fetch("/api/places").then((answer) => answer.json()).then((places) => {
      if (mine !== leaflet) return;
      for (const place of places) {
        const text = document.createElement("span");
        text.textContent = place.name;
        const icon = L.divIcon({ className: "place place-" + place.rank, html: text, iconSize: null });
        L.marker(place.at, { icon: icon, pane: "labels", interactive: false, keyboard: false, rank: place.rank }).addTo(target);
      }
      backdrop();
    }).catch(() => {});
  }

  map.base = function (found) {
    leaflet = found;
    world = null;
    leaflet.on("zoomend", backdrop);
    addLabels();
    backdrop();
  };
})();
