// Shared by the pieces: sizes a canvas to its box, and draws a feature's way through the complex plane.
const ink = (root) => getComputedStyle(root).color;
function redrawn(root, draw) {  // in another size, in another theme
  new ResizeObserver(() => requestAnimationFrame(draw)).observe(root);
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
}
function fitted(canvas, height) {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return [pen, width];
}
function drawDial(canvas, dial, index, trail, root) {
  const size = canvas.clientWidth, [pen] = fitted(canvas, size);
  const middle = size / 2, reach = 0.44 * size, colour = ink(root);
  const at = (i) => [middle + reach * dial.re[i], middle - reach * dial.im[i]];
  pen.strokeStyle = colour;
  pen.globalAlpha = 0.25;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.arc(middle, middle, reach, 0, 2 * Math.PI);
  pen.moveTo(middle - reach, middle); pen.lineTo(middle + reach, middle);
  pen.moveTo(middle, middle - reach); pen.lineTo(middle, middle + reach);
  pen.stroke();
  pen.strokeStyle = "#5b7aa8";
  pen.lineJoin = "round";
  if (trail === null) {  // the whole way
    pen.globalAlpha = 0.45;
    pen.beginPath();
    dial.re.forEach((_, i) => pen.lineTo(...at(i)));
    pen.stroke();
  }
  const count = dial.re.length, past = trail === null ? 6 : trail;
  pen.lineWidth = 2;
  for (let back = past; back > 0; back--) {
    const from = index - back;
    if (trail === null && from < 0) continue;
    pen.globalAlpha = 0.9 * (1 - (back - 1) / past);
    pen.beginPath();
    pen.moveTo(...at((from + count) % count));
    pen.lineTo(...at((from + 1 + count) % count));
    pen.stroke();
  }
  pen.globalAlpha = 1;
  pen.strokeStyle = pen.fillStyle = "#d9822b";
  pen.lineWidth = 2.5;
  pen.beginPath(); pen.moveTo(middle, middle); pen.lineTo(...at(index)); pen.stroke();
  pen.beginPath(); pen.arc(...at(index), 4, 0, 2 * Math.PI); pen.fill();
}
