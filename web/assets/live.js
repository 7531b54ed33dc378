/* Keeps the page in step with the server: pushes by Server-Sent Events, polls at the chosen pace as well. */
(function () {
  "use strict";
  const live = {
    sensors: new Map(), // key -> {k, s, t, m, kind, name, at, units}
    counts: {}, alerts: 0, critical: 0, version: "", newest: null, skew: 0, redis: true, reached: 0, failed: 0,
    pace: 5, listeners: [],
  };
  window.weirLive = live;
  let busy = false, again = false, timer = null, source = null, wait = 0;

  live.now = () => Date.now() + live.skew;

  function take(body) {
    if (body.whole) live.sensors.clear();
    const changed = [];
    for (const item of body.sensors) {
      let one = live.sensors.get(item.k);
      if (!one) {
        const cut = item.k.indexOf("/");
        one = { k: item.k, site: item.k.slice(0, cut), sensor: item.k.slice(cut + 1), m: {}, units: {}, kind: "unknown", name: "" };
        live.sensors.set(item.k, one);
      }
      one.s = item.s;
      if (item.t !== undefined) { one.t = item.t; one.m = item.m; }
      if (item.b) Object.assign(one, item.b);
      changed.push(one);
    }
    live.counts = body.counts;
    live.alerts = body.alerts;
    live.critical = body.critical || 0;
    live.version = body.version;
    live.newest = body.newest;
    live.redis = body.redis;
    live.skew = body.now - Date.now();
    for (const listen of live.listeners) listen(changed, body.whole);
  }

  async function poll() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch("/api/live?since=" + encodeURIComponent(live.version), { cache: "no-store" });
      if (!answer.ok) throw new Error("HTTP " + answer.status);
      take(await answer.json());
      live.reached = Date.now();
      live.failed = 0;
    } catch (error) {
      live.failed += 1;
    }
    busy = false;
    tell();
    if (again) { again = false; poll(); }
  }
  live.poll = poll;

  function schedule() {
    clearInterval(timer);
    if (live.pace) timer = setInterval(poll, live.pace * 1000);
  }

  /* Browsers allow a host about six connections. So one page of a browser listens for all of them and passes on what
     it hears; a hidden one leaves its turn to another. Where there are no locks (plain http), each listens itself. */
  const others = new BroadcastChannel("weir-events");
  let turn = null, giveUp = null;
  others.onmessage = () => { if (turn) poll(); };

  function open() {
    source = new EventSource("/events");
    source.onmessage = (event) => { poll(); others.postMessage(event.data); };
    source.onopen = () => { wait = 0; };
    source.onerror = () => {
      if (!source || source.readyState !== EventSource.CLOSED) return;
      wait = Math.min(30000, (wait || 1000) * 2); // the server has no room for one more: this one polls
      setTimeout(() => { if (source && source.readyState === EventSource.CLOSED) open(); }, wait);
    };
  }

  function close() {
    if (source) source.close();
    source = null;
  }

  function listen() {
    const wanted = live.pace > 0 && live.pace <= 5 && !document.hidden;
    if (wanted && !turn) {
      const mine = turn = new AbortController();
      if (!navigator.locks) { open(); return; }
      navigator.locks.request("weir-events", { signal: mine.signal }, () => mine.signal.aborted ? null : new Promise((done) => {
        giveUp = () => { close(); done(); };
        open();
      })).catch(() => {}); // the turn was given up before it came
    } else if (!wanted && turn) {
      turn.abort();
      turn = null;
      if (giveUp) giveUp(); else close();
      giveUp = null;
    }
  }

  live.setPace = function (seconds) {
    live.pace = seconds;
    schedule();
    listen();
    if (seconds) poll();
    tell();
  };

  document.addEventListener("visibilitychange", () => {
    listen();
    if (!document.hidden && live.pace) poll();
  });

  live.age = function (ms) {
    if (ms === null || ms === undefined) return "never";
    const s = Math.max(0, (live.now() - ms) / 1000);
    if (s < 1) return "now";
    if (s < 60) return Math.round(s) + " s";
    if (s < 3600) return Math.round(s / 60) + " min";
    if (s < 86400) return Math.round(s / 3600) + " h";
    return Math.round(s / 86400) + " d";
  };

  function say(element, state, text) {
    if (element.dataset.state !== state) element.dataset.state = state;
    if (element.textContent !== text) element.textContent = text;
  }

  function tell() {
    const element = document.getElementById("live-state");
    if (!element) return;
    const old = live.newest === null ? null : live.now() - live.newest;
    if (!live.pace) say(element, "paused", "paused");
    else if (live.failed > 1) say(element, "down", "server away" + (live.reached ? ", last update " + live.age(live.reached + live.skew) + " ago" : ""));
    else if (!live.reached) say(element, "wait", "connecting …");
    else if (!live.redis) say(element, "down", "live values away, last " + live.age(live.newest));
    else if (old === null) say(element, "wait", "no readings yet");
    else if (old > 10000) say(element, "stale", "last update " + live.age(live.newest) + " ago");
    else say(element, "live", "live");
  }
  setInterval(tell, 1000);

  /* Dash has to know the scheme for its figures, AG Grid for its colours, and the zone for its times. */
  function viewer() {
    const dark = document.documentElement.getAttribute("data-mantine-color-scheme") === "dark";
    document.body.dataset.agThemeMode = dark ? "dark" : "light";
    if (window.dash_clientside && window.dash_clientside.set_props && document.getElementById("live-state")) {
      window.dash_clientside.set_props("viewer", { data: { dark: dark, offset: -new Date().getTimezoneOffset() } });
    }
    if (window.weirMap) window.weirMap.restyle();
  }
  new MutationObserver(viewer).observe(document.documentElement, { attributes: true, attributeFilter: ["data-mantine-color-scheme"] });

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.weir = Object.assign(window.dash_clientside.weir || {}, {
    pace: function (value) {
      const seconds = Number(value);
      live.setPace(seconds);
      return [Math.max(1, seconds) * 1000, seconds === 0, seconds === 0];
    },
    /* Also the first thing called once the frame is drawn. */
    moved: function (path) {
      for (const link of document.querySelectorAll(".nav-link")) {
        if (link.getAttribute("href") === path) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      }
      viewer();
      return window.dash_clientside.no_update;
    },
    /* Writes what is chosen into the address, without a new entry in the history. */
    address: function (...values) {
      const names = window.dash_clientside.callback_context.inputs_list.map((one) => one.id.replace(/-select$/, "").split("-").pop());
      window.weirAddress(Object.fromEntries(names.map((name, i) => [name, values[i]])));
      return window.dash_clientside.no_update;
    },
  });

  /* Follows an address of our own as dcc.Link does: no reload. */
  window.weirGo = function (href) {
    history.pushState({}, "", href);
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
  };

  const DEFAULTS = { window: "6h", colour: "status", ahead: "1h", cluster: "auto" };
  window.weirAddress = function (values) {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(values)) {
      const text = Array.isArray(value) ? value.join(",") : value;
      if (text && DEFAULTS[name] !== text) query.set(name, text);
    }
    const text = query.toString().replaceAll("%2C", ",").replaceAll("%2F", "/");
    history.replaceState(history.state, "", location.pathname + (text ? "?" + text : ""));
  };

  window.dashAgGridFunctions = window.dashAgGridFunctions || {};
  window.dashAgGridFunctions.weirTime = (ms) => ms ? new Date(ms).toLocaleString([], { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }) : "";
  window.dashAgGridFunctions.weirUtc = (ms) => ms ? new Date(ms).toISOString().replace("T", " ").slice(0, 19) + " UTC" : "";
  poll(); // what is known arrives while the page is still being made
})();
