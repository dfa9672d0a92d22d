// <rope-clock>: a query hand at position m and a key hand at position n on one clock, and the score
// that they have at every distance. Numbers and words come from data-config; clock.py writes it, and
// what stands inside the element where this script does not run.
if (!customElements.get("rope-clock")) {
  const { axes, fixed, line, short, text } = window.RopeFigure;
  const turn = ([x, y], angle) => [
    x * Math.cos(angle) - y * Math.sin(angle),
    x * Math.sin(angle) + y * Math.cos(angle),
  ];
  // Screens count y downwards, so y changes its sign.
  const at = ([x, y], radius) => `${(x * radius).toFixed(1)} ${(-y * radius).toFixed(1)}`;

  customElements.define("rope-clock", class extends window.RopeFigure {
    look = `
svg .q { color: var(--blue) } svg .k { color: var(--red) } .score { color: var(--green) }
.k.hand { stroke-dasharray: 7 4 } .hand { stroke-width: 4 } .first { opacity: .35; stroke-width: 3 }
.name { font-size: 15px; font-style: italic; font-weight: 700; dominant-baseline: central }
.wedge { fill: var(--orange); fill-opacity: .4; stroke: none } .full { fill: currentColor; stroke: none }
label.q span::before, label.k span::before { content: ""; display: inline-block; width: 1.4em; margin-right: .4em;
  border-top: 3px solid var(--blue); vertical-align: middle } label.k span::before { border-top: 3px dashed var(--red) }
.k input { accent-color: var(--red) } .both input { accent-color: #6E6E6E; accent-color: color-mix(in srgb, #888 70%, currentColor) }
`;

    settings() {
      const { m, n, positions, shifts } = this.config;
      return [["m", "q", positions, m], ["n", "k", positions, n], ["shift", "both", shifts, 0]];
    }

    show() {
      const { query, key, theta } = this.config;
      const [m, n, shift] = this.values();
      const q = turn(query, (m + shift) * theta);
      const k = turn(key, (n + shift) * theta);
      const score = q[0] * k[0] + q[1] * k[1];
      const angle = Math.atan2(k[0] * q[1] - k[1] * q[0], score);
      const degrees = fixed((Math.abs(angle) * 180) / Math.PI, 1);
      const wide = this.room >= 500;
      const middle = wide ? 122 : this.room / 2;
      const box = wide ? [292, 40, this.room - 12, 190] : [46, 270, this.room - 14, 354];
      this.draw(this.room, wide ? 240 : 396,
        `<g transform="translate(${middle} 120)">${this.dial(q, k, angle, degrees)}</g>` +
        this.curve(box, m - n, score));
      this.say({ m: m + shift, n: n + shift, distance: fixed(m - n, 0), angle: degrees, score: fixed(score, 3) });
    }

    // The longer hand reaches the dial, letters make room for each other.
    dial(q, k, angle, degrees) {
      const { query, key, words } = this.config;
      const longest = Math.max(Math.hypot(...q), Math.hypot(...k));
      const hand = (kind, arrow) => `<path class="${kind}" d="M0 0L${at(arrow, 84 / longest)}"/>`;
      const name = (kind, arrow, lean) => {
        const [x, y] = at(turn(arrow, lean), 109 / Math.hypot(...arrow)).split(" ");
        return text(+x, +y, words[kind], `${kind} name`);
      };
      const aside = angle < 0 ? -0.09 : 0.09;
      const from = at(k, 34 / Math.hypot(...k));
      const to = at(q, 34 / Math.hypot(...q));
      const middle = turn(k, angle / 2);
      const away = Math.min(74, Math.max(50, 20 / Math.sin(Math.abs(angle) / 2)));
      const [x, y] = at(middle, away / Math.hypot(...middle)).split(" ");
      const size = Math.abs(angle) < 0.78 ? "" : text(+x, +y + 4, `${degrees.replace(".0", "")}°`);
      return `<circle r="96" opacity=".5"/><path d="M-96 0H96M0-96V96" opacity=".16"/>` +
        `<circle r="93" pathLength="24" stroke-width="6" stroke-dasharray=".06 .94" stroke-dashoffset=".03" opacity=".5"/>` +
        `<path class="wedge" d="M0 0L${from}A34 34 0 0 ${angle > 0 ? 0 : 1} ${to}Z"/>` +
        hand("q first", query) + hand("k first", key) + hand("q hand", q) + hand("k hand", k) +
        `<circle r="4" class="full"/>` + size +
        name("q", q, aside) + name("k", k, -aside);
    }

    // The score at every distance, and where it is now.
    curve([left, top, right, bottom], distance, score) {
      const { query, key, theta, positions, words } = this.config;
      const most = Math.hypot(...query) * Math.hypot(...key);
      const lead = Math.atan2(query[1], query[0]) - Math.atan2(key[1], key[0]);
      const across = (tokens) => left + (right - left) * (tokens / positions + 1) / 2;
      const up = (size) => (top + bottom) / 2 - (bottom - top) / 2.2 * size / most;
      const steps = Array.from({ length: 601 }, (_, i) => positions * (i / 300 - 1));
      const [x, y] = [across(distance), up(score)];
      const rise = -Math.sin(lead + distance * theta);
      const flat = Math.abs(rise) < 0.4;
      const side = x < left + 40 ? 1 : x > right - 40 ? -1 : flat ? 0 : rise < 0 ? 1 : -1;
      const above = flat || side * rise < 0; // where the curve is not
      return axes([left, top, right, bottom],
        [-2, -1, 0, 1, 2].map((i) => Math.round(positions * i / 2)).map((d) => [across(d), String(d).replace("-", "−")]),
        [-most, 0, most].map((size) => [up(size), short(size).replace("-", "−")]),
        words.distance, words.score) +
        `<path class="axis" d="M${across(0).toFixed(1)} ${top}V${bottom}"/>` +
        `<path class="score" d="${line(steps.map((d) => [across(d), up(most * Math.cos(lead + d * theta))]))}" stroke-width="2"/>` +
        `<path d="M${x.toFixed(1)} ${y.toFixed(1)}V${bottom}" stroke-dasharray="2 3" opacity=".6"/>` +
        `<circle class="score full" r="6" cx="${x.toFixed(1)}" cy="${y.toFixed(1)}"/>` +
        text(x + 9 * side, y + (flat && score < 0 ? -24 : above ? -11 : 20), fixed(score, 2), ["end", "", "start"][side + 1]);
    }
  });
}
