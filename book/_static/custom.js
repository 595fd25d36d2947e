// One player at a time: whoever begins stops the others.
document.addEventListener("play", ({ target }) => {
  document.querySelectorAll("audio[controls]").forEach((other) => other !== target && target.controls && other.pause());
}, true);
