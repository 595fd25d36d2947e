// Sound. Whoever begins stops all others, but for those that run with it.
const soundsOf = (box) => [...box.querySelectorAll("audio")];
document.addEventListener("play", ({ target }) => {
  const own = target.closest(".together") || target;
  soundsOf(document).forEach((other) => own.contains(other) || other.pause());
}, true);

// A picture of a sound: a line goes through it as the sound goes on, and a click plays from there.
let frame = 0;
function follow({ target }) {
  const group = target.closest(".together"), own = target.closest("figure");
  const box = own.querySelector("[data-span]") || (group && group.querySelector(":scope > .seen > [data-span]"));
  if (!box || own.hidden) return;
  const [left, right, begin, end] = box.dataset.span.split(" ").map(Number);
  const share = Math.min(1, Math.max(0, (target.currentTime - begin) / (end - begin)));
  box.style.setProperty("--at", `${100 * (left + share * (right - left))}%`);
  cancelAnimationFrame(frame);
  if (!target.paused) frame = requestAnimationFrame(() => follow({ target }));
}
for (const name of ["play", "seeked", "pause"]) document.addEventListener(name, follow, true);
document.addEventListener("click", ({ target, clientX }) => {
  const box = target.closest("[data-span]");
  if (!box) return;
  const [left, right, begin, end] = box.dataset.span.split(" ").map(Number), { x, width } = box.getBoundingClientRect();
  const sound = soundsOf(box.closest("figure, .together")).find((each) => !each.closest("figure").hidden);
  const share = Math.min(1, Math.max(0, ((clientX - x) / width - left) / (right - left)));
  sound.currentTime = begin + share * (end - begin);
  sound.play().catch(() => {});
});

// Sounds of a group become one player: all run, one is seen and heard, so that choosing another makes no gap.
function join(group, number) {
  const every = soundsOf(group), choices = document.createElement("fieldset");
  const figures = every.map((sound) => sound.closest("figure"));
  const there = (sound) => sound.error || sound.readyState > 2;
  const loaded = (sound) => new Promise((done) => {
    for (const name of ["canplay", "error"]) sound.addEventListener(name, done, { once: true });
    sound.preload = "auto";
    if (there(sound)) done();
  });
  let heard = every[0];
  const others = (act) => every.forEach((sound) => sound !== heard && act(sound));
  const hear = (sound) => {
    if (Math.abs(sound.currentTime - heard.currentTime) > 0.05) sound.currentTime = heard.currentTime;
    sound.volume = heard.volume;
    heard = sound;
    every.forEach((each, i) => { figures[i].hidden = each.muted = each !== sound; });
    follow({ target: heard });
  };
  every.forEach((sound, i) => {
    const label = document.createElement("label"), input = document.createElement("input");
    const name = figures[i].querySelector("figcaption");
    Object.assign(input, { type: "radio", name: `sounds-${number}`, checked: !i });
    input.addEventListener("change", () => hear(sound));
    label.append(input, ` ${name.textContent}`);
    choices.append(label);
    name.hidden = every.length > 1;
    sound.addEventListener("play", async () => {
      if (sound !== heard) return;
      if (every.every(there)) return others((other) => other.play().catch(() => {}));
      sound.pause();  // nothing begins before all can
      await Promise.all(every.map(loaded));
      sound.play().catch(() => {});
    });
    for (const name of ["pause", "seeking"]) sound.addEventListener(name, () => sound === heard && others((other) => {
      if (name === "pause") other.pause();
      other.currentTime = heard.currentTime;
    }));
  });
  choices.hidden = every.length < 2;
  choices.setAttribute("aria-label", "Which is heard? It can be changed while they play");
  group.insertBefore(choices, group.querySelector(".seen, figure"));
  hear(heard);
}
document.addEventListener("DOMContentLoaded", () => document.querySelectorAll(".together").forEach(join));
