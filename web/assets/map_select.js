/* Choosing sensors by a rectangle: with the pointer, or by the keyboard all that are in view. */
(function () {
  "use strict";
  const live = window.weirLive, map = window.weirMap, MOST = 6;
  const by = (id) => document.getElementById(id);
  const select = map.select = {};
  let leaflet = null, drawn = null, from = null, armed = false;

  select.begin = function (found) {
    leaflet = found;
    [drawn, from, armed] = [null, null, false];
    leaflet.createPane("choice").style.zIndex = 410;
    leaflet.on("mousedown", (event) => { if (armed) { from = event.latlng; show(L.latLngBounds(from, from)); } });
    leaflet.on("mousemove", (event) => { if (from) show(L.latLngBounds(from, event.latlng)); });
    leaflet.on("mouseup", (event) => {
      if (!from) return;
      const bounds = L.latLngBounds(from, event.latlng);
      from = null;
      arm(false);
      take(bounds);
    });
    select.tell();
  };

  function arm(on) {
    armed = on;
    leaflet.dragging[on ? "disable" : "enable"]();
    leaflet.getContainer().classList.toggle("choosing", on);
    by("select").setAttribute("aria-pressed", String(on));
  }

  function show(bounds) {
    if (drawn) drawn.setBounds(bounds);
    else drawn = L.rectangle(bounds, { pane: "choice", color: "#1c7ed6", weight: 1.5, dashArray: "5 4", fillOpacity: 0.08, interactive: false }).addTo(leaflet);
  }

  function take(bounds) {
    const box = [bounds.getSouth(), bounds.getWest(), bounds.getNorth(), bounds.getEast()];
    map.filter.box = box[0] < box[2] && box[1] < box[3] ? box.map((one) => Number(one.toFixed(5))) : null;
    map.apply();
  }

  /* What is chosen, and the way to compare it. */
  select.tell = function () {
    const bar = by("selection"), box = map.filter.box;
    if (!bar || !leaflet) return;
    bar.hidden = !box;
    if (!box) { if (drawn) { drawn.remove(); drawn = null; } return; }
    show(L.latLngBounds([box[0], box[1]], [box[2], box[3]]));
    const found = [...live.sensors.values()].filter(map.passes).sort((a, b) => map.WEIGHT[a.s] - map.WEIGHT[b.s] || (a.k < b.k ? -1 : 1));
    map.set(by("selection-count"), found.length.toLocaleString("en") + (found.length === 1 ? " sensor" : " sensors") + " chosen");
    const link = by("selection-compare"), first = found.slice(0, MOST);
    link.hidden = !first.length;
    if (!first.length) return;
    const metric = map.filter.colour !== "status" ? "&metric=" + map.filter.colour : "";
    link.href = "/sensor?site=" + first[0].site + "&sensor=" + first[0].sensor + metric + "&sensors=" + first.map((one) => one.k).join(",");
    map.set(link, found.length > MOST ? "Compare the first " + MOST : "Compare");
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("#select, #selection-clear, #selection-compare");
    if (!button || !leaflet) return;
    if (button.id === "selection-compare") {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      window.weirGo(button.href);
    } else if (button.id === "selection-clear") { map.filter.box = null; map.apply(); }
    else if (event.detail === 0) take(leaflet.getBounds()); // pressed by a key: there is no pointer to draw with
    else arm(!armed);
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && armed && by("select")) arm(false); });
})();
