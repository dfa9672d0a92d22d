// <rope-scalings>: how many times slower each hand becomes, and which angles remain unseen.
// Numbers and words come from data-config; scalings.py writes it, and the picture and line inside
// the element, which stay where this script does not run.
if (!customElements.get("rope-scalings")) {
  const { plain, written } = window.RopeFigure;
  const clamp = (x) => Math.min(Math.max(x, 0), 1);
  const range = (count, make) => Array.from({ length: count }, (_, i) => make(i));

  // How many times slower each hand becomes. See rope_lib.scaling.
  const slowed = {
    none: (s, { width }) => range(width / 2, () => 1),
    linear: (s, { width }) => range(width / 2, () => s),
    ntk: (s, { width }) => range(width / 2, (i) => s ** (2 * i / (width - 2))),
    yarn: (s, { width, base, length }) => {
      const hand = (turns) => width * Math.log(length / (turns * 2 * Math.PI)) / (2 * Math.log(base));
      const low = Math.max(Math.floor(hand(32)), 0);
      const high = Math.min(Math.ceil(hand(1)), width - 1);
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
    page(controls) {
      return `<style>
:host { --digits: 4ch }
circle { fill: var(--blue); stroke: none } .new { color: var(--red); stroke-width: 1.5 }
.axis { opacity: .7 } .length { stroke-dasharray: 4 4; opacity: .7 }
.tick { text-anchor: end } .name { text-anchor: start }
</style><svg role="img"></svg>${controls}`;
    }

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
      const farthest = turns[turns.length - 1] * 1.2;
      const across = (tokens) => 40 + 340 * Math.log(tokens / 6) / Math.log(farthest / 6);
      const up = (times) => 190 - 34 * Math.log2(times);
      const text = (kind, x, y, says) =>
        `<text class="${kind}" x="${x}" y="${y}">${plain(says)}</text>`;
      const powers = range(9, (i) => 10 ** i).filter((tokens) => tokens > 6 && tokens < farthest);
      const every = powers.length > 5 ? 2 : 1; // or they would lie on each other
      const dots = turns.map((tokens, i) => {
        const [x, y] = [across(tokens), up(slower[i])];
        return unseen[i] ? `<path class="new" d="M${x - 4} ${y - 4}l8 8m0-8l-8 8"/>`
          : `<circle cx="${x}" cy="${y}" r="3"/>`;
      });
      this.draw(400, 238, `<path class="axis" d="M36 10V200H388"/>` +
        `<path class="length" d="M${across(length)} 10V200"/>` +
        [1, 2, 4, 8, 16, 32].map((times) => text("tick", 30, up(times) + 4, String(times))).join("") +
        powers.filter((_, i) => i % every === 0)
          .map((tokens) => text("", across(tokens), 216, written(tokens))).join("") +
        text("name", 44, 20, words.slower) + text("", 212, 233, words.wavelength) +
        text("", across(length) + 10, 20, "T") + dots.join(""));
    }
  });
}
