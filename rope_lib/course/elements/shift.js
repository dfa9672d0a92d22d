// <rope-shift>: a sentence that is shifted, and its attention weights in two ways.
// Numbers and words come from data-config; shift.py writes it, and what stands inside the element
// where this script does not run.
if (!customElements.get("rope-shift")) {
  const { fixed, text } = window.RopeFigure;
  const [SHIFTS, ROW, HEAD, GAP, STACKED] = [50, 42, 60, 26, 540];
  const size = (word) => [...word].reduce((sum, c) => sum + (c > "⺀" ? 13 : 7.4), 0);

  customElements.define("rope-shift", class extends window.RopeFigure {
    look = `
rect { fill: var(--blue); stroke: #8886 } .new { stroke: var(--red); stroke-width: 2 } .head { font-weight: 700 }
`;

    settings() {
      return [["shift", "", SHIFTS, this.config.shift]];
    }

    // Scores and weights, with positions added and with rotation.
    attend(shift) {
      const { theta, vectors } = this.config;
      const from = (make) => {
        const x = vectors.map(([, [a, b]], place) => {
          const angle = theta * (shift + place);
          return make(a, b, Math.cos(angle), Math.sin(angle));
        });
        const scores = x.map((q) => x.map((k) => q[0] * k[0] + q[1] * k[1]));
        const weights = scores.map((row) => {
          const sum = row.reduce((total, score) => total + Math.exp(score), 0);
          return row.map((score) => Math.exp(score) / sum);
        });
        return { scores, weights };
      };
      return [
        from((a, b, cos, sin) => [a + sin, b + cos]),
        from((a, b, cos, sin) => [a * cos - b * sin, a * sin + b * cos]),
      ];
    }

    show() {
      const { vectors, words } = this.config;
      const [shift] = this.values();
      const [now, first] = [this.attend(shift), this.attend(0)];
      const names = vectors.map(([name]) => name);
      const stacked = this.room < STACKED;
      const wide = stacked ? this.room : (this.room - GAP) / 2;
      const high = HEAD + ROW * names.length;
      const tables = [words.added, words.rotated].map((title, i) =>
        `<g transform="translate(${stacked ? 0 : i * (wide + GAP)} ${stacked ? i * (high + GAP) : 0})">` +
        this.table(wide, title, names, now[i].weights, first[i].weights, shift) + "</g>");
      this.draw(this.room, stacked ? 2 * high + GAP : high, tables.join(""));
      const change = now.map(({ weights }, i) => Math.max(...weights.flatMap((row, m) =>
        row.map((weight, n) => Math.abs(weight - first[i].weights[m][n])))));
      this.say({
        moved: shift ? words.moved : words.still, // first: it holds some of the others
        query: names[1], m: shift + 1, key: names[0], n: shift,
        added: fixed(now[0].scores[1][0], 3), rotated: fixed(now[1].scores[1][0], 3),
        change: fixed(100 * change[0], 1), none: fixed(100 * change[1], 1),
      });
    }

    table(room, title, names, weights, first, shift) {
      const { words } = this.config;
      const at = (position) => words.at.replace("{position}", () => position);
      const left = Math.max(...[words.query, ...names, at(SHIFTS + names.length)].map(size)) + 14;
      const wide = (room - left) / names.length;
      const cell = (m, n) => {
        const [x, y] = [left + wide * n, HEAD + ROW * m];
        const [now, was] = [weights, first].map((each) => `${fixed(100 * each[m][n], 0)}%`);
        const [kind, more] = now === was ? ["", ""] : ["new", text(x + wide / 2, y + 33, words.was.replace("{weight}", () => was))];
        return `<rect class="${kind}" x="${(x + 1.5).toFixed(1)}" y="${y}" width="${(wide - 4).toFixed(1)}" height="${ROW - 4}" fill-opacity="${(0.6 * weights[m][n]).toFixed(3)}"/>` +
          text(x + wide / 2, y + (kind ? 17 : 24), now) + more;
      };
      return text(2, 14, title, "start head") + text((left + room) / 2, 34, words.key) + text(left - 8, 52, words.query, "end") +
        names.map((name, m) => text(left + wide * (m + 0.5), 52, name, "head") +
          text(left - 8, HEAD + ROW * m + 17, name, "end head") + text(left - 8, HEAD + ROW * m + 33, at(shift + m), "end") +
          names.map((_, n) => cell(m, n)).join("")).join("");
    }
  });
}
