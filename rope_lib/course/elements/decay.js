// <rope-decay>: the size of a score over the distance, beside the bounds and random keys.
// Numbers and words come from data-config; decay.py writes it, and what stands inside the element
// where this script does not run.
if (!customElements.get("rope-decay")) {
  const { axes, fixed, line, text, written } = window.RopeFigure;
  const height = (size) => 262 - 226 * (Math.log(Math.max(size, 0.5) / 0.5) / Math.log(60000));

  customElements.define("rope-decay", class extends window.RopeFigure {
    look = `
.score { color: var(--blue) } .bound { color: var(--red) } .simple, .spread { color: inherit }
path { stroke-width: 1.5 } path.score { stroke-width: 2.5 } .simple { stroke-dasharray: 7 4 } .spread { stroke-dasharray: 2 4 }
.grid, .axis { stroke-width: 1 } .here { opacity: .6; stroke-dasharray: 2 3 } .name { font-weight: 700 }
.plus { fill: currentColor } .minus { stroke-width: 2.5 }
`;

    settings() {
      const { keys, choice, distance, farthest, bases, base } = this.config;
      return [["key", "", keys, choice], ["distance", "", farthest, distance],
        ["base", "", bases.length - 1, bases.indexOf(base)]];
    }

    // The products h of the pairs, as [length, angle], and the sizes of query times key.
    products(key, thetas) {
      const { query, ahead } = this.config;
      if (key === "even") {
        const h = thetas.map((_, i) => [1 - i / thetas.length, 0]);
        return [h, h.reduce((sum, [size]) => sum + size, 0)];
      }
      const other = key === "random" ? this.config.key : query;
      const h = thetas.map((theta, i) => {
        const [a, b, c, d] = [query[2 * i], query[2 * i + 1], other[2 * i], other[2 * i + 1]];
        const angle = Math.atan2(b * c - a * d, a * c + b * d);
        return [Math.hypot(a, b) * Math.hypot(c, d), angle - (key === "ahead" ? ahead * theta : 0)];
      });
      return [h, Math.hypot(...query) * Math.hypot(...other)];
    }

    // Score and RoFormer's bound at one distance.
    at(distance, h, step, thetas) {
      let [score, x, y, sums] = [0, 0, 0, 0];
      thetas.forEach((theta, i) => {
        score += h[i][0] * Math.cos(h[i][1] + distance * theta);
        x += Math.cos(distance * theta);
        y += Math.sin(distance * theta);
        sums += Math.hypot(x, y);
      });
      return [score, step * sums];
    }

    show() {
      const { query, farthest, step: every, bases } = this.config;
      const [key, distance, place] = this.values((name, value) =>
        written(name === "base" ? bases[value] : value));
      const pairs = query.length / 2;
      const thetas = Array.from({ length: pairs }, (_, i) => bases[place] ** (-i / pairs));
      const [h, simple] = this.products(key, thetas);
      const flat = h.map(([size, angle]) => [size * Math.cos(angle), size * Math.sin(angle)]);
      const step = Math.max(...flat.map(([x, y], i) => {
        const [u, v] = flat[i + 1] ?? [0, 0];
        return Math.hypot(u - x, v - y);
      }));
      const all = [];
      for (let d = 0; d <= farthest; d += every) all.push([d, ...this.at(d, h, step, thetas)]);
      const [score, bound] = this.at(distance, h, step, thetas);
      this.curves(all, { simple, spread: Math.sqrt(query.length) }, distance, score);
      this.say({
        distance: written(distance), base: written(bases[place]), score: fixed(score, 1),
        bound: bound < 1000 ? fixed(bound, 1) : written(Math.round(bound)), simple: fixed(simple, 1), spread: fixed(Math.sqrt(query.length), 1),
      });
    }

    // Where the name of each line stands, by its size at the right edge: none lies on the one above.
    apart(sizes) {
      let above = 0;
      return Object.entries(sizes).sort((a, b) => b[1] - a[1])
        .map(([kind, size]) => [kind, above = Math.max(height(size), above + 16)]);
    }

    curves(all, flat, distance, score) {
      const { farthest, words } = this.config;
      const room = this.room;
      const [left, right] = [52, room - 98];
      const across = (tokens) => left + (right - left) * tokens / farthest;
      const path = (kind, d) => `<path class="${kind}" d="${d}"/>`;
      const curve = (i) => line(all.map((row) => [across(row[0]), height(Math.abs(row[i]))]));
      const level = (kind) => path(kind, `M${left} ${height(flat[kind])}H${right}`);
      const [, lastScore, lastBound] = all[all.length - 1];
      const ends = { score: Math.abs(lastScore), bound: lastBound, ...flat };
      const [x, y] = [across(distance), height(Math.abs(score))].map((each) => each.toFixed(1));
      this.draw(room, 302, axes([left, 36, right, 262],
        [0, 500, 1000].map((each) => [across(each), written(each)]),
        [1, 10, 100, 1000, 10000].map((each) => [height(each), written(each)]), words.tokens, words.size) +
        level("simple") + level("spread") + path("bound", curve(2)) + path("score", curve(1)) +
        path("here", `M${x} ${y}V262`) +
        this.apart(ends).map(([kind, end]) => text(right + 6, end + 4, words[kind], `${kind} name start`)).join("") +
        `<circle class="score ${score < 0 ? "minus" : "plus"}" r="6" cx="${x}" cy="${y}"/>`);
    }
  });
}
