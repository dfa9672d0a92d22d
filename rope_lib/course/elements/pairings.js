// <rope-pairings>: which numbers of a head are turned together, and what permuted weights do.
// Numbers and words come from data-config; pairings.py writes it, and the picture and line inside
// the element, which stay where this script does not run.
if (!customElements.get("rope-pairings")) {
  const { fixed } = window.RopeFigure;
  const stored = [0, 1, 2, 3, 4, 5, 6, 7];
  const permuted = [0, 2, 4, 6, 1, 3, 5, 7];

  customElements.define("rope-pairings", class extends window.RopeFigure {
    page(controls) {
      return `<style>
:host { --digits: 4ch }
rect { stroke-opacity: .6 } .arc { color: var(--blue) }
</style><svg role="img"></svg>${controls}`;
    }

    settings() {
      const { pairings, pairing, kinds, rows, farthest, distance } = this.config;
      return [["pairing", "", pairings, pairing], ["rows", "", kinds, rows],
        ["distance", "", farthest, distance]];
    }

    together(pairing) {
      return [0, 1, 2, 3].map((i) => pairing === "half" ? [i, i + 4] : [2 * i, 2 * i + 1]);
    }

    score(pairing, order, distance) {
      const [q, k] = [this.config.query, this.config.key].map((x) => order.map((row) => x[row]));
      return this.together(pairing).reduce((sum, [a, b], i) => {
        const [cos, sin] = [Math.cos, Math.sin].map((f) => f(distance * 10000 ** (-i / 4)));
        return sum + (q[a] * cos - q[b] * sin) * k[a] + (q[a] * sin + q[b] * cos) * k[b];
      }, 0);
    }

    show() {
      const { close, words } = this.config;
      const [pairing, rows, distance] = this.values();
      const order = rows === "permuted" ? permuted : stored;
      const score = this.score(pairing, order, distance);
      const wanted = this.score("interleaved", stored, distance);
      const pairs = this.together(pairing);
      this.boxes(order, pairs);
      this.say({
        pairs: pairs.map(([a, b]) => `${order[a]}+${order[b]}`).join(", "),
        distance, score: fixed(score, 3), wanted: fixed(wanted, 3),
        verdict: Math.abs(score - wanted) < close ? words.equal : words.other,
      });
    }

    boxes(order, pairs) {
      const at = (place) => 24 + 47 * place;
      const arcs = pairs.map(([a, b], i) => {
        const up = 64 - 13 * (b - a) - 14;
        return `<path class="arc" d="M${at(a)} 62C${at(a)} ${up} ${at(b)} ${up} ${at(b)} 62" stroke-width="${5 - 1.2 * i}"/>`;
      });
      this.draw(380, 108, order.map((row, place) =>
        `<rect x="${at(place) - 19}" y="64" width="38" height="38"/>` +
        `<text x="${at(place)}" y="88">${row}</text>`).concat(arcs).join(""));
    }
  });
}
