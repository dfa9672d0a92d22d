// <rope-heads>: a map of the heads of a real model, and where the weight of one of them goes.
// Numbers and words come from data-config; heads.py writes it, and what stands inside the element
// where this script does not run.
if (!customElements.get("rope-heads")) {
  const { axes, text } = window.RopeFigure;
  const [LAYERS, HEADS, BINS, LEFT, TOP, HIGH] = [30, 9, 11, 52, 38, 13];
  // Two digits for each number, `row` of them for a head.
  const numbers = (digits, row, at) =>
    Array.from({ length: row }, (_, i) => Number(digits.substr(2 * (at * row + i), 2)));
  const sum = (row, from, to) => row.slice(from, to).reduce((a, b) => a + b, 0);
  const kind = (row) =>
    [["near", sum(row, 0, 4)], ["first", row[BINS]], ["far", sum(row, 9, 11)]].find(([, part]) => part > 50)?.[0] ?? "none";

  customElements.define("rope-heads", class extends window.RopeFigure {
    look = `
.near, .bar { fill: var(--blue); stroke: none } .first { stroke: var(--red); stroke-width: 1.8 } .far { fill: var(--green); stroke: none }
.none { fill: currentColor; stroke: none; opacity: .55 } .chosen, .plain { stroke-width: 2 } .map { cursor: pointer; pointer-events: all; stroke: none }
`;

    settings() {
      return [["layer", "", LAYERS - 1, this.config.layer], ["head", "", HEADS - 1, this.config.head]];
    }

    // A click on the map chooses a head; the sliders do the same by keyboard.
    listen() {
      this.svg.addEventListener("click", (event) => {
        const box = this.svg.querySelector(".map").getBoundingClientRect();
        const layer = Math.floor((event.clientX - box.left) / box.width * LAYERS);
        const head = Math.floor((event.clientY - box.top) / box.height * HEADS);
        if (layer < 0 || layer >= LAYERS || head < 0 || head >= HEADS) return;
        [this.controls[0].value, this.controls[1].value] = [layer, head];
        this.show();
      });
    }

    show() {
      const [layer, head] = this.values();
      const { rotated, plain } = this.config;
      const at = layer * HEADS + head;
      const [one, other] = [numbers(rotated, BINS + 1, at), numbers(plain, BINS, at)];
      this.draw(this.room, 450, this.map(layer, head) + this.bars(one, other));
      this.say({
        layer, head, near: sum(one, 0, 4), near_without: sum(other, 0, 4),
        far: sum(one, 9, 11), far_without: sum(other, 9, 11), first: one[BINS],
      });
    }

    map(layer, head) {
      const { rotated, words } = this.config;
      const wide = (this.room - LEFT - 12) / LAYERS;
      const [across, down] = [(each) => LEFT + wide * (each + 0.5), (each) => TOP + HIGH * (each + 0.5)];
      const mark = {
        near: (x, y) => `<path class="near" d="M${x - 4} ${y - 4}h8v8h-8z"/>`,
        first: (x, y) => `<circle class="first" cx="${x}" cy="${y}" r="3.5"/>`,
        far: (x, y) => `<path class="far" d="M${x - 4.5} ${y + 4}h9l-4.5 -8z"/>`,
        none: (x, y) => `<circle class="none" cx="${x}" cy="${y}" r="1.2"/>`,
      };
      let drawn = "";
      for (let at = 0; at < LAYERS * HEADS; at++) {
        const x = Number(across(Math.floor(at / HEADS)).toFixed(1));
        drawn += mark[kind(numbers(rotated, BINS + 1, at))](x, down(at % HEADS));
      }
      return drawn + `<path class="map" d="M${LEFT} ${TOP}h${wide * LAYERS}v${HIGH * HEADS}h${-wide * LAYERS}z"/>` +
        `<path class="chosen" d="M${(across(layer) - wide / 2).toFixed(1)} ${TOP + HIGH * head}h${wide.toFixed(1)}v${HIGH}h${-wide.toFixed(1)}z"/>` +
        [0, 10, 20, 29].map((each) => text(across(each), 172, String(each))).join("") +
        [0, 4, 8].map((each) => text(LEFT - 6, down(each) + 4, String(each), "end")).join("") +
        text(LEFT + wide * 15, 190, words.layers) + text(this.room / 2, 214, words.marks) + text(2, 26, words.heads, "start");
    }

    bars(one, other) {
      const { words } = this.config;
      const [left, top, right, bottom] = [LEFT, 264, this.room - 10, 398];
      const step = (right - left) / 13;
      const middle = (i) => left + step * (i + 0.5 + (i === BINS ? 1 : 0));
      const begins = (i) => i ? 2 ** (i - 1) : 0;
      const height = (weight) => 1.34 * weight;
      const marked = step > 30 ? [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10] : [0, 1, 3, 5, 7, 9];
      return axes([left, top, right, bottom], [], [0, 50, 100].map((each) => [bottom - height(each), String(each)]), words.tokens, words.weight) +
        marked.map((i) => text(middle(i), bottom + 17, String(begins(i)))).join("") +
        text(right + 8, bottom + 17, words.first, "end") + text(right, top - 12, words.turned, "end") +
        one.map((weight, i) => `<path class="bar" d="M${(middle(i) - 0.35 * step).toFixed(1)} ${bottom}v${-height(weight)}h${(0.7 * step).toFixed(1)}v${height(weight)}z"/>`).join("") +
        other.map((weight, i) => `<path class="plain" d="M${(middle(i) - 0.46 * step).toFixed(1)} ${bottom - height(weight)}h${(0.92 * step).toFixed(1)}"/>`).join("");
    }
  });
}
