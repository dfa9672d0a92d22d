// <rope-word-order>: words that can be dragged, and what attention makes of each.
// Numbers and words come from data-config; word_order.py writes it, and what stands inside the
// element where this script does not run.
if (!customElements.get("rope-word-order")) {
  const { fixed, plain, text } = window.RopeFigure;
  const size = (word) => [...word].reduce((sum, c) => sum + (c > "⺀" ? 13 : 7.4), 0);

  customElements.define("rope-word-order", class extends window.RopeFigure {
    look = `
.words { display: flex; flex-wrap: wrap; gap: .5rem; margin: 0 0 .3rem }
.words button { border: 2px solid; padding: .4rem .9rem; min-height: 2.75rem; max-width: 100%; cursor: grab; touch-action: none; user-select: none }
.words button:active { cursor: grabbing } .hint { margin: 0 0 .8rem; font-size: .9rem }
svg { max-width: 34rem } rect { fill: var(--blue); stroke-opacity: .5 } .head { font-weight: 700 } .new { fill: var(--red) }
`;

    above() {
      return `<div class="words">${this.config.vectors.map(() => "<button></button>").join("")}</div>` +
        `<p class="hint">${plain(this.config.words.hint)}</p>`;
    }

    settings() {
      const { modes, mode } = this.config;
      return modes.length > 1 ? [["mode", "", modes, mode]] : []; // one choice needs no menu
    }

    restart() {
      this.order = this.config.vectors.map((_, place) => place);
    }

    // A word moves to where the pointer is, or by one position for an arrow key. The button that was
    // pressed keeps the pointer; the word moves on to other buttons.
    listen() {
      const buttons = [...this.shadowRoot.querySelectorAll(".words button")];
      const under = ({ clientX, clientY }) => buttons.findIndex((button) => {
        const { left, right, top, bottom } = button.getBoundingClientRect();
        return left <= clientX && clientX <= right && top <= clientY && clientY <= bottom;
      });
      let held = -1;
      buttons.forEach((button, place) => {
        button.addEventListener("pointerdown", (event) => {
          button.setPointerCapture(event.pointerId);
          held = place;
        });
        button.addEventListener("pointermove", (event) => {
          const to = held < 0 ? -1 : under(event);
          if (to >= 0 && to !== held) this.bring(held, to), held = to;
        });
        button.addEventListener("lostpointercapture", () => held = -1);
        button.addEventListener("keydown", (event) => {
          const to = place + { ArrowLeft: -1, ArrowRight: 1 }[event.key];
          if (to in this.order) this.bring(place, to), buttons[to].focus();
        });
      });
    }

    bring(from, to) {
      this.order.splice(to, 0, ...this.order.splice(from, 1));
      this.show();
    }

    attend(order, mode) {
      const x = order.map((word, place) => {
        const [a, b] = this.config.vectors[word][1];
        return mode === "positions" ? [a + Math.sin(place), b + Math.cos(place)] : [a, b];
      });
      const weights = x.map((q, m) => {
        const shares = x.map((k, n) =>
          mode === "mask" && n > m ? 0 : Math.exp(q[0] * k[0] + q[1] * k[1]));
        const sum = shares.reduce((a, b) => a + b);
        return shares.map((share) => share / sum);
      });
      const outputs = weights.map((row) => [0, 1].map((i) =>
        row.reduce((total, weight, n) => total + weight * x[n][i], 0)));
      return { weights, outputs };
    }

    show() {
      const { vectors, words } = this.config;
      const [mode = this.config.mode] = this.values();
      const { weights, outputs } = this.attend(this.order, mode);
      const first = this.attend(vectors.map((_, word) => word), mode).outputs;
      const names = this.order.map((word) => vectors[word][0]);
      const texts = outputs.map((each) => `(${each.map((x) => fixed(x, 3)).join(", ")})`);
      const differs = this.order.map((word, place) =>
        outputs[place].some((x, i) => Math.abs(x - first[word][i]) > 0.0005));
      const was = first.map((each) =>
        words.changed.replace("{output}", () => `(${each.map((x) => fixed(x, 3)).join(", ")})`));
      this.table(names, weights, texts, differs, this.order.map((word) => was[word]), mode === "mask");
      this.shadowRoot.querySelectorAll(".words button").forEach((button, place) => {
        button.textContent = names[place];
        button.setAttribute("aria-label", words.move
          .replace("{word}", () => names[place]).replace("{place}", place));
      });
      this.say({
        sentence: names.join(words.space), mode: words[mode],
        outputs: names.map((name, place) => `${name} ${texts[place]}`).join(", "),
        changed: differs.filter(Boolean).length, count: names.length,
      });
    }

    table(names, weights, texts, differs, was, causal) {
      const { words } = this.config;
      const longest = Math.max(...names.map(size));
      const left = Math.max(size(words.query), longest) + 14;
      const least = Math.max(34, longest + 6);
      const after = Math.max(...[...texts, ...was].map(size)) + 8;
      const room = Math.min(this.room, 544);
      const wide = Math.min(92, Math.max(least, (room - left - after) / names.length));
      const right = left + wide * names.length;
      const rows = weights.map((row, m) => {
        const y = 44 + 46 * m;
        return text(left - 8, y + 25, names[m], "end head") + row.map((weight, n) =>
          `<rect x="${(left + wide * n + 1.5).toFixed(1)}" y="${y}" width="${(wide - 3).toFixed(1)}" height="42" fill-opacity="${0.6 * weight}"/>` +
          text(left + wide * (n + 0.5), y + 25, causal && n > m ? "×" : `${fixed(100 * weight, 0)}%`)).join("") +
          text(right + 10, y + 18, texts[m], "start") +
          text(right + 10, y + 35, differs[m] ? was[m] : words.same, differs[m] ? "start head new" : "start");
      });
      this.draw(Math.max(room, right + after), 48 + 46 * names.length,
        text((left + right) / 2, 13, words.key) + text(left - 8, 33, words.query, "end") + text(right + 10, 33, words.output, "start") +
        names.map((name, n) => text(left + wide * (n + 0.5), 33, name, "head")).concat(rows).join(""));
    }
  });
}
