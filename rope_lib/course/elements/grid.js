// <rope-grid>: scores of one query with keys all over an image.
// Numbers and words come from data-config; grid.py writes it, and what stands inside the element where
// this script does not run.
if (!customElements.get("rope-grid")) {
  const { fixed, text } = window.RopeFigure;

  customElements.define("rope-grid", class extends window.RopeFigure {
    look = `
.body { display: flex; flex-wrap: wrap; gap: 0 1.5rem; align-items: center }
svg { flex: 1 1 15rem; max-width: 23rem; min-width: 0; margin: auto } .side { flex: 1 1 13rem; min-width: 0 }
.plus { fill: var(--blue); stroke: none } .minus { fill: var(--red); stroke: none } .image { cursor: pointer; pointer-events: all }
.query { stroke-width: 3 } .top { stroke-width: 2 }
`;

    settings() {
      const { kinds, kind, side, row, column } = this.config;
      return [["kind", "", kinds, kind], ["row", "", side - 1, row],
        ["column", "", side - 1, column]];
    }

    // A click on a patch puts the query there; the sliders do the same by keyboard.
    listen() {
      const { svg } = this;
      const { side } = this.config;
      svg.addEventListener("click", (event) => {
        const box = svg.querySelector(".image")?.getBoundingClientRect();
        const place = (at, size) => Math.floor(at / size * side);
        const [row, column] = [place(event.clientY - box.top, box.height), place(event.clientX - box.left, box.width)];
        if (Math.min(row, column) < 0 || Math.max(row, column) >= side) return;
        [this.controls[1].value, this.controls[2].value] = [row, column];
        this.show();
      });
    }

    // Speeds of each pair by row and by column; angles are linear in both.
    speeds(kind) {
      const { pairs, side } = this.config;
      return Array.from({ length: pairs }, (_, i) => {
        if (kind === "line") return [1, side].map((each) => each * 10000 ** (-i / pairs)).reverse();
        const half = pairs / 2;
        if (kind === "axial") {
          const speed = 10 ** (-(i % half) / half);
          return i < half ? [speed, 0] : [0, speed];
        }
        const speed = 10 ** (-Math.floor(i / 2) / half);
        const direction = i * Math.PI * (3 - Math.sqrt(5)); // the golden angle
        return [speed * Math.sin(direction), speed * Math.cos(direction)];
      });
    }

    show() {
      const { side, down, left, high, words } = this.config;
      const [kind, row, column] = this.values();
      const speeds = this.speeds(kind);
      const scores = Array.from({ length: side * side }, (_, place) => {
        const [dr, dc] = [Math.floor(place / side) - row - down, place % side - column + left];
        return speeds.reduce((sum, [r, c]) => sum + Math.cos(dr * r + dc * c), 0) / speeds.length;
      });
      const top = Math.max(...scores);
      const place = scores.indexOf(top);
      this.image(scores, place, row, column);
      this.say({
        kind: words[kind], row, column, top: fixed(top, 2), top_row: Math.floor(place / side),
        top_column: place % side, high: scores.filter((score) => score >= high).length,
      });
    }

    // Blue above zero, red below, the deeper the farther from it; and a scale of the colours.
    image(scores, top, row, column) {
      const { side, words } = this.config;
      const size = Math.min(20, Math.floor((this.room - 52) / side));
      const edge = size * side;
      const middle = 38 + edge / 2;
      const patch = (x, y, width, height, score) => `<rect class="${score < 0 ? "minus" : "plus"}" x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${height}" fill-opacity="${Math.abs(score).toFixed(2)}"/>`;
      const at = (each) => 38 + size * each; // of a row or a column
      const scale = Array.from({ length: 21 }, (_, i) => patch(38 + edge / 21 * i, edge + 74, edge / 21, 20, i / 10 - 1));
      this.draw(edge + 52, edge + 128, scores.map((score, i) =>
        patch(at(i % side), at(Math.floor(i / side)), size, size, score)).concat(scale).join("") +
        `<path class="image axis" d="M38 38h${edge}v${edge}h-${edge}z"/><path class="axis" d="M38 ${edge + 74}h${edge}v20h-${edge}z"/>` +
        `<rect class="top" x="${at(top % side) + 1}" y="${at(Math.floor(top / side)) + 1}" width="${size - 2}" height="${size - 2}"/>` +
        `<circle class="query" cx="${at(column + 0.5)}" cy="${at(row + 0.5)}" r="${0.32 * size}"/>` +
        [0, 7, 14].map((each) => text(at(each + 0.5), 32, String(each)) + text(30, at(each + 0.5) + 4, String(each), "end")).join("") +
        text(middle, 13, words.columns) + text(2, 32, words.rows, "start") +
        [-1, 0, 1].map((score) => text(middle + (edge / 2 - 7) * score, edge + 109, fixed(score, 0))).join("") +
        text(middle, edge + 124, words.score) + text(middle, edge + 58, words.marks));
    }
  });
}
