// <rope-pairings>: which elements of a head are rotated together, and what permuted weights do.
// Numbers and words come from data-config; pairings.py writes it, and what stands inside the element
// where this script does not run.
if (!customElements.get("rope-pairings")) {
  const { fixed, text } = window.RopeFigure;
  const stored = [0, 1, 2, 3, 4, 5, 6, 7];
  const permuted = [0, 2, 4, 6, 1, 3, 5, 7];

  customElements.define("rope-pairings", class extends window.RopeFigure {
    look = `
svg { max-width: 34rem } rect { stroke-opacity: .6 } .arc { color: var(--blue) } .head { font-weight: 700 }
.now { color: var(--blue); fill: currentColor; stroke: none } .now.other { color: var(--red) } .wanted { stroke-width: 2.5 }
`;

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
      const same = Math.abs(score - wanted) < close;
      this.boxes(order, pairs, score, wanted, same);
      this.say({
        pairs: pairs.map(([a, b]) => `${order[a]}+${order[b]}`).join(", "),
        distance, score: fixed(score, 3), wanted: fixed(wanted, 3),
        verdict: same ? words.equal : words.other,
      });
    }

    // The head's eight numbers, with an arc over each pair, and the two scores on one scale.
    boxes(order, pairs, score, wanted, same) {
      const { words } = this.config;
      const room = Math.min(this.room, 544);
      const pitch = Math.min(60, (room - 8) / 8);
      const at = (place) => room / 2 + pitch * (place - 3.5);
      const size = pitch - 8;
      const arcs = pairs.map(([a, b], i) => {
        const up = b - a > 1 ? 12 : 62;
        return `<path class="arc" d="M${at(a)} 110C${at(a)} ${up} ${at(b)} ${up} ${at(b)} 110" stroke-width="${5 - 1.2 * i}"/>` +
          text((at(a) + at(b)) / 2, 110 - 0.75 * (110 - up) - 7, pitch < 44 ? `i=${i}` : `i = ${i}`);
      });
      const across = (x) => room / 2 + (room / 2 - 16) * x / 3;
      const line = 246;
      this.draw(room, 306, order.map((row, place) =>
        `<rect x="${at(place) - size / 2}" y="112" width="${size}" height="36" rx="3"/>` +
        text(at(place), 134, String(row), "head") + text(at(place), 166, String(place))).concat(arcs).join("") +
        text(room / 2, 184, words.places) +
        `<path class="axis" d="M${across(-3)} ${line}H${across(3)}"/>` +
        [-3, -2, -1, 0, 1, 2, 3].map((x) => `<path class="axis" d="M${across(x)} ${line}v5"/>` +
          text(across(x), line + 19, fixed(x, 0))).join("") + text(room / 2, line + 37, words.score) +
        `<circle class="wanted" cx="${across(wanted).toFixed(1)}" cy="${line}" r="9"/>` +
        `<circle class="now ${same ? "" : "other"}" cx="${across(score).toFixed(1)}" cy="${line}" r="5"/>` +
        `<circle class="wanted" cx="14" cy="212" r="7" /><circle class="now ${same ? "" : "other"}" cx="${room / 2 + 14}" cy="212" r="5"/>` +
        text(28, 216, words.trained, "start") + text(room / 2 + 28, 216, words.here, "start"));
    }
  });
}
