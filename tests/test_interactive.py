"""The interactive pieces in a browser without a network: what they draw and say is what the package computes."""

import json
import re

import pytest
import torch
from browser import needs_browser

from phalar.model.complex_layers import ModReLU
from phalar.model.pooling import SpectralPooling
from phalar.study import media
from phalar.study.lessons import drawn, turn

pytestmark = needs_browser

# Takes down every dot that is drawn and what is said, after each list of moves of a piece's controls.
DOTS = """<!doctype html><html lang="en"><meta charset="utf-8"><body style="width: 390px"><script>
let dots = [];
const arc = CanvasRenderingContext2D.prototype.arc;
CanvasRenderingContext2D.prototype.arc = function (x, y, radius, ...rest) {
  dots.push([this.canvas.clientWidth, x, y, radius]);
  return arc.call(this, x, y, radius, ...rest);
};
</script>"""
MOVED = """MOVES.map((move) => {
  dots = [];
  for (const [selector, value] of move) {
    const control = document.querySelector("NAME " + selector);
    control.value = value;
    if (control.type === "radio") control.click(); else control.dispatchEvent(new Event("input"));
  }
  return [dots, document.querySelector("NAME output").textContent];
})"""


def dials(z):
    about = {"kind": "turns", "turns": 1}
    return [
        about | {"label": f"component {i}", "re": w.real.tolist(), "im": w.imag.tolist()} for i, w in enumerate(z.T)
    ]


def pieces():
    """By name: data of a piece, moves, after each the numbers whose dots are drawn last, and a number that is said."""
    levels, pool = drawn(64, seed=1).abs(), SpectralPooling(1, 1).requires_grad_(False)
    turning = torch.stack([pool.spectrum(levels.roll(s)[None, None])[0, 0, :4] for s in range(64)])
    loop = {"seconds": 4, "wave": levels.tolist(), "dials": dials(turning / turning.abs())}
    yield "loop", loop, [[["input", s]] for s in range(64)], turning / turning.abs(), torch.arange(64) / 16

    way, scores = drawn(9, 8, seed=2) / 9, drawn(9, seed=3).real
    stem = {key: list(range(9)) for key in ("seconds", "beats", "grid")} | {"title": "", "stem": "bass", "bar": 4}
    stem |= {"waves": {"mix": [1, 2], "stem": [1, 2]}, "length": 4, "scores": scores.tolist(), "dials": dials(way)}
    yield "piece", stem, [[["input", i]] for i in range(9)], way, scores

    z, layer = torch.outer(torch.tensor([0.5, 1, 2]), turn(torch.pi * torch.arange(12) / 6)), ModReLU(1)
    layer.requires_grad_(False).bias.fill_(-0.5)
    made = {1: layer(z[..., None])[..., 0], 2: torch.complex(z.real.relu(), z.imag.relu())}
    parts = [{"name": "", "says": "", "keeps": 1, "re": w.real.tolist(), "im": w.imag.tolist()} for w in made.values()]
    plane = {"lengths": [0.5, 1, 2], "angles": 12, "reach": 2.1, "functions": parts}
    places = [(i, n, a) for i in made for n, a in [(2, 1), (1, 7), (0, 11)]]
    moves = [[[f"label:nth-of-type({i}) input", 0], [".angle", a], [".length", n]] for i, n, a in places]
    dots = torch.tensor([[z[n, a], made[i][n, a], turn(torch.pi * a / 6) * made[i][n, 0]] for i, n, a in places])
    yield "plane", plane, moves, dots, (dots[:, 1] - dots[:, 2]).abs()


PIECES = {name: rest for name, *rest in pieces()}
UNIT = {"loop": 0.44, "piece": 0.44, "plane": 0.48 / 2.1}  # share of a dial's width
SAYS = {"loop": r"^(\S+) s late", "piece": r"score (\S+)$", "plane": r"Difference (\S+)\. "}


@pytest.mark.parametrize("name", PIECES)
def test_a_piece_draws_and_says_what_the_package_computes(browser, name, tmp_path):
    data, moves, dots, said = PIECES[name]
    (tmp_path / "page.html").write_text(DOTS + media.fragment(name, data), encoding="utf-8")
    browser.open(tmp_path / "page.html")
    told = browser.run(MOVED.replace("MOVES", json.dumps(moves)).replace("NAME", f".phasor-{name}"))
    assert browser.faults == []
    for (seen, text), numbers, value in zip(told, dots, said.tolist(), strict=True):
        places = [complex(x / w - 0.5, 0.5 - y / w) / UNIT[name] for w, x, y, r in seen if r in (4, 5, 9)]
        torch.testing.assert_close(torch.tensor(places[-len(numbers) :]), numbers, atol=1e-3, rtol=0)
        assert float(re.search(SAYS[name], text)[1].replace("−", "-")) == pytest.approx(value, abs=0.0051)
