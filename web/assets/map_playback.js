/* The last day, played back on the map: frames of one byte a sensor, fetched once (format: web/playback.py). */
(function () {
  "use strict";
  const live = window.weirLive, map = window.weirMap, NAMES = ["silent", "ok", "flagged", "alert"], PACE = 350;
  const by = (id) => document.getElementById(id);
  const playback = map.playback = {};
  let film = null, frame = 0, timer = null, asked = 0;
  map.past = null;

  async function load() {
    const mine = ++asked, colour = map.filter.colour;
    say("Loading the last 24 hours …");
    const answer = await fetch("/pages/playback?" + new URLSearchParams({ colour: colour }));
    if (!answer.ok) throw new Error("the last 24 hours cannot be read now");
    const bytes = new Uint8Array(await answer.arrayBuffer()), end = bytes.indexOf(10);
    if (mine !== asked) return false;
    const head = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end)));
    film = Object.assign(head, { colour: colour, data: bytes.subarray(end + 1), rows: new Map(head.keys.map((key, i) => [key, i])) });
    return true;
  }

  function byteOf(one) {
    const row = film.rows.get(one.k);
    return row === undefined ? undefined : film.data[row * film.frames + frame];
  }
  const past = {
    status: (one) => {
      const byte = byteOf(one);
      if (film.colour !== "status") return byte === undefined || byte === 255 ? "silent" : "ok";
      return NAMES[byte] || "silent";
    },
    share: (one) => { const byte = byteOf(one); return byte === undefined || byte === 255 ? null : byte / 254; },
    range: () => [film.low, film.high],
  };

  function say(text, title) {
    const box = by("playback-time");
    map.set(box, text);
    if (box) box.title = title || "";
  }

  function show() {
    const at = film.since + frame * film.step, slider = by("playback-slider");
    map.past = past;
    map.filter.at = at;
    const text = new Date(at).toLocaleString([], { weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    say(text, new Date(at).toISOString().replace("T", " ").slice(0, 16) + " UTC");
    if (slider) { slider.max = film.frames - 1; slider.value = frame; slider.setAttribute("aria-valuetext", text); }
    bar(true);
    map.apply();
  }

  function bar(on) {
    const box = by("playback");
    if (!box) return;
    box.classList.toggle("on", on);
    box.closest(".map-box").classList.toggle("past", on);
    by("playback-live").hidden = !on;
    map.set(by("playback-play"), timer ? "Pause" : "Play 24 h");
  }

  function stop() { clearInterval(timer); timer = null; }

  function leave() {
    stop();
    asked += 1;
    film = map.past = null;
    map.filter.at = 0;
    say("Now, live");
    const slider = by("playback-slider");
    if (slider) { slider.value = slider.max; slider.setAttribute("aria-valuetext", "now"); }
    bar(false);
    if (by("map")) map.apply();
  }

  /* Enter the past at a moment (ms), or at `place` of the whole. */
  async function enter(at, place) {
    try {
      if ((!film || film.colour !== map.filter.colour) && !(await load())) return false;
    } catch (error) {
      leave();
      say("The last 24 hours cannot be read now");
      return false;
    }
    const wanted = at ? Math.round((at - film.since) / film.step) : Math.round(place * (film.frames - 1));
    frame = Math.min(film.frames - 1, Math.max(0, wanted));
    show();
    return true;
  }

  async function play() {
    if (timer) { stop(); bar(Boolean(map.past)); return; }
    if (!map.past && !(await enter(0, 0))) return;
    timer = setInterval(() => {
      if (!by("playback") || !film) { stop(); return; }
      if (frame >= film.frames - 1) { stop(); bar(true); return; }
      frame += Math.max(1, Math.round(film.frames / 144));
      frame = Math.min(frame, film.frames - 1);
      show();
    }, PACE);
    bar(true);
  }

  function slider(place) {
    const made = document.createElement("input");
    Object.assign(made, { id: "playback-slider", type: "range", min: 0, max: 287, value: 287 });
    made.setAttribute("aria-label", "Moment of the last 24 hours");
    made.setAttribute("aria-valuetext", "now");
    place.append(made);
  }

  /* Called whenever the filters are: a new page starts from its address, another colour needs other frames. */
  playback.begin = function (recoloured) {
    const fresh = playback.page !== by("playback");
    playback.page = by("playback");
    if (playback.page && !by("playback-slider")) slider(by("playback-place"));
    if (fresh) { const at = map.filter.at; stop(); film = map.past = null; if (at) enter(at, 0); }
    else if (recoloured && map.past) { const at = map.filter.at; map.past = null; enter(at, 0); }
  };

  document.addEventListener("click", (event) => {
    if (event.target.closest("#playback-play")) play();
    else if (event.target.closest("#playback-live")) leave();
  });
  document.addEventListener("input", (event) => {
    if (event.target.id !== "playback-slider") return;
    stop();
    const slider = event.target, place = Number(slider.value) / Number(slider.max);
    enter(film ? film.since + Number(slider.value) * film.step : 0, place);
  });
})();
