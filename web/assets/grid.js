/* What pages and tables call by name: AG Grid's functions may not be sent by the server under our content security policy. */
(function () {
  "use strict";
  const functions = window.dashAgGridFunctions = window.dashAgGridFunctions || {};
  const known = (v) => v !== null && v !== undefined;
  functions.weirValue = (v, unit) => known(v) ? (window.weirMap.number(v) + " " + (unit || "")).trim() : "–";
  functions.weirFixed = (v) => known(v) ? v.toFixed(2) : "–";
  functions.weirPercent = (v) => known(v) ? Math.round(100 * v) + " %" : "–";
  functions.weirCount = (v) => known(v) ? v.toLocaleString("en") : "–";

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.weir = Object.assign(window.dash_clientside.weir || {}, {
    exports: function (site, sensor, metric, window_) {
      const query = new URLSearchParams({ site: site || "", sensor: sensor || "", metric: metric || "", window: window_ || "6h" });
      return ["csv", "parquet"].map((form) => "/pages/export?" + query + "&format=" + form);
    },
    /* The sensor of the chosen row is shown above the table. */
    fleetRow: function (rows) {
      if (rows && rows.length) {
        const [site, sensor] = rows[0].sensor.split("/");
        const query = new URLSearchParams(location.search);
        query.set("site", site);
        query.set("sensor", sensor);
        window.weirGo("/forecasts?" + query);
        window.scrollTo({ top: 0, behavior: "smooth" });
      }
      return window.dash_clientside.no_update;
    },
  });
})();
