// <rope-scalings>: how many times slower each pair turns, and which angles remain unseen.
// Numbers and words come from data-config; scalings.py writes it, and what stands inside the element
// where this script does not run.
if (!customElements.get("rope-scalings")) {
  const { axes, text, written } = window.RopeFigure;
  const clamp = (x) => Math.min(Math.max(x, 0), 1);
  const range = (count, make) => Array.from({ length: count }, (_, i) => make(i));

  // How many times slower each pair turns. See rope_lib.scaling.
  const slowed = {
    none: (s, { width }) => range(width / 2, () => 1),
    linear: (s, { width }) => range(width / 2, () => s),
    ntk: (s, { width }) => range(width / 2, (i) => s ** (2 * i / (width - 2))),
    yarn: (s, { width, base, length }) => {
      const pair = (turns) => width * Math.log(length / (turns * 2 * Math.PI)) / (2 * Math.log(base));
      const low = Math.max(Math.floor(pair(32)), 0);
      const high = Math.min(Math.ceil(pair(1)), width - 1);
      return range(width / 2, (i) => {
        const squeeze = clamp((i - low) / (low === high ? 0.001 : high - low));
        return 1 / (1 - squeeze + squeeze / s);
      });
    },
    llama3: (s, { width, base, length }) => range(width / 2, (i) => {
      const kept = clamp((length * base ** (-2 * i / width) / (2 * Math.PI) - 1) / 3);
      return 1 / (kept + (1 - kept) / s);
    }),
  };

  customElements.define("rope-scalings", class extends window.RopeFigure {
    look = `
.seen { color: var(--blue); fill: currentColor; stroke: none } .new { color: var(--red); stroke-width: 2 }
.length { stroke-dasharray: 4 4 } .open { fill: currentColor; opacity: .07; stroke: none }
`;

    settings() {
      const { methods, method, factors, factor } = this.config;
      return [["method", "", methods, method],
        ["factor", "", factors.length - 1, factors.indexOf(factor)]];
    }

    show() {
      const { width, base, length, factors, close, words } = this.config;
      const [method, place] = this.values((name, value) => String(factors[value]));
      const factor = factors[place];
      const turns = range(width / 2, (i) => 2 * Math.PI * base ** (2 * i / width));
      const slower = slowed[method](factor, this.config);
      const open = turns.map((tokens) => tokens > length);
      const unseen = slower.map((times, i) => open[i] && times * close < factor);
      const count = (test) => slower.filter(test).length;
      const [kept, whole] = factor === 1 ? [width / 2, 0]
        : [count((times) => times < close), count((times) => times * close > factor)];
      const least = Math.min(...slower.filter((_, i) => open[i]));
      this.dots(turns, slower, unseen);
      this.say({
        method: words[method], factor, kept, count: width / 2, part: width / 2 - kept - whole,
        whole, text: written(length * factor), unseen: unseen.filter(Boolean).length,
        reach: least === Infinity ? "∞" : written(Math.floor(length * least + 0.001)),
      });
    }

    dots(turns, slower, unseen) {
      const { length, words } = this.config;
      const room = this.room;
      const [left, top, right, bottom] = [34, 36, room - 16, 226];
      const farthest = turns[turns.length - 1] * 1.2;
      const across = (tokens) => left + 4 + (right - left - 4) * Math.log(tokens / 6) / Math.log(farthest / 6);
      const up = (times) => 216 - 30 * Math.log2(times);
      const mark = (is_new, x, y) => is_new ? `<path class="new" d="M${(x - 4).toFixed(1)} ${(y - 4).toFixed(1)}l8 8m0-8l-8 8"/>`
        : `<circle class="seen" cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="3.5"/>`;
      const powers = range(9, (i) => 10 ** i).filter((tokens) => tokens > 6 && tokens < farthest);
      const every = Math.ceil(powers.length * 76 / (right - left)); // or they would lie on each other
      const end = Math.min(Math.max(across(length), left), right);
      const late = end > right - 110;
      this.draw(room, 308, `<path class="open" d="M${end.toFixed(1)} ${top}H${right}V${bottom}H${end.toFixed(1)}z"/>` +
        axes([left, top, right, bottom],
          powers.filter((_, i) => i % every === 0).map((tokens) => [across(tokens), written(tokens)]),
          [1, 2, 4, 8, 16, 32].map((times) => [up(times), String(times)]), words.wavelength, words.slower) +
        `<path class="length" d="M${end.toFixed(1)} ${top}V${bottom}"/>` +
        text(end + (late ? -6 : 6), top + 12, `T = ${written(length)}`, late ? "end" : "start") +
        turns.map((tokens, i) => mark(unseen[i], across(tokens), up(slower[i]))).join("") +
        mark(false, left + 4, 280) + text(left + 14, 284, words.seen, "start") +
        mark(true, left + 4, 298) + text(left + 14, 302, words.new, "start"));
    }
  });
}
