/* Unacknowledged critical alerts are counted in the title; a sound, if it was asked for, tells a new one. */
(function () {
  "use strict";
  const live = window.weirLive;
  let before = null, sound = null, base = "";

  function title() {
    const plain = document.title.replace(/^\(\d+\) /, "");
    if (plain !== base) base = plain;
    const wanted = (live.critical ? "(" + live.critical + ") " : "") + base;
    if (document.title !== wanted) document.title = wanted;
  }

  function beep() {
    for (const [at, pitch] of [[0, 880], [0.22, 660]]) {
      const tone = sound.createOscillator(), volume = sound.createGain();
      tone.frequency.value = pitch;
      volume.gain.setValueAtTime(0.12, sound.currentTime + at);
      volume.gain.exponentialRampToValueAtTime(0.001, sound.currentTime + at + 0.2);
      tone.connect(volume).connect(sound.destination);
      tone.start(sound.currentTime + at);
      tone.stop(sound.currentTime + at + 0.2);
    }
  }

  live.listeners.push(function () {
    if (sound && before !== null && live.critical > before) beep();
    before = live.critical;
    title();
  });
  new MutationObserver(title).observe(document.querySelector("title") || document.head, { childList: true, subtree: true, characterData: true });

  /* Browsers allow sound only after the user has asked for it. */
  document.addEventListener("click", (event) => {
    const button = event.target.closest("#sound");
    if (!button) return;
    if (sound) { sound.close(); sound = null; } else { sound = new AudioContext(); beep(); }
    button.setAttribute("aria-pressed", String(Boolean(sound)));
    button.textContent = sound ? "Sound on" : "Sound off";
  });
})();
