// <rope-grid>: scores of one query with keys all over an image.
// Numbers and words come from data-config; grid.py writes it, and the picture and line inside the
// element, which stay where this script does not run.
if (!customElements.get("rope-grid")) {
  const { fixed } = window.RopeFigure;

  customElements.define("rope-grid", class extends window.RopeFigure {
    page(controls) {
      return `<style>
:host { --digits: 4ch; display: flex; flex-wrap: wrap; gap: 0 1.5rem; align-items: center }
svg { flex: 1 1 15rem; max-width: 20rem; min-width: 0; margin: auto; stroke: none; cursor: pointer }
rect { fill: var(--blue) } circle { stroke: var(--red); stroke-width: 3 }
.frame { fill: none; stroke: currentColor; opacity: .5 }
div { flex: 1 1 16rem; min-width: 0 }
</style><svg role="img"></svg>${controls}`;
    }

    settings() {
      const { kinds, kind, side, row, column } = this.config;
      return [["kind", "", kinds, kind], ["row", "", side - 1, row],
        ["column", "", side - 1, column]];
    }

    // A click on a patch puts the query there; the sliders do the same by keyboard.
    listen() {
      const svg = this.shadowRoot.querySelector("svg");
      const { side } = this.config;
      svg.addEventListener("click", (event) => {
        const box = svg.getBoundingClientRect();
        const place = (at, size) => Math.min(side - 1, Math.max(0, Math.floor(at / size * side)));
        this.controls[1].value = place(event.clientY - box.top, box.height);
        this.controls[2].value = place(event.clientX - box.left, box.width);
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
      this.draw(20 * side, 20 * side, scores.map((score, i) =>
        `<rect x="${20 * (i % side)}" y="${20 * Math.floor(i / side)}" width="20" height="20" fill-opacity="${Math.max(score, 0).toFixed(2)}"/>`
      ).join("") + `<path class="frame" d="M0 0h${20 * side}v${20 * side}H0z"/>` +
        `<circle cx="${20 * column + 10}" cy="${20 * row + 10}" r="7"/>`);
      this.say({
        kind: words[kind], row, column, top: fixed(top, 2), top_row: Math.floor(place / side),
        top_column: place % side, high: scores.filter((score) => score >= high).length,
      });
    }
  });
}
