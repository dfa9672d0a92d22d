// <rope-word-order>: words that can be dragged, and what attention makes of each.
// Numbers and words come from data-config; word_order.py writes it, and the picture and line
// inside the element, which stay where this script does not run.
if (!customElements.get("rope-word-order")) {
  const { fixed, plain } = window.RopeFigure;

  customElements.define("rope-word-order", class extends window.RopeFigure {
    page(controls) {
      const buttons = this.config.vectors.map(() => "<button></button>").join("");
      this.order = this.config.vectors.map((_, place) => place);
      return `<style>
.words { display: flex; flex-wrap: wrap; gap: .5rem; margin: 0 0 .75rem }
button { font: inherit; color: inherit; background: none; border: 2px solid; border-radius: .4rem;
  padding: .4rem .9rem; min-height: 2.5rem; max-width: 100%; overflow-wrap: anywhere; cursor: grab; touch-action: none; user-select: none }
svg { max-width: 26rem }
rect { fill: var(--blue); stroke-opacity: .5 }
</style><div class="words">${buttons}</div><svg role="img"></svg>${controls}`;
    }

    settings() {
      return [["mode", "", this.config.modes, this.config.mode]];
    }

    // A word moves to where the pointer is, or by one place for an arrow key. The button that was
    // pressed keeps the pointer; the word moves on to other buttons.
    listen() {
      const buttons = [...this.shadowRoot.querySelectorAll("button")];
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
      const [mode] = this.values();
      const { weights, outputs } = this.attend(this.order, mode);
      const first = this.attend(vectors.map((_, word) => word), mode).outputs;
      const names = this.order.map((word) => vectors[word][0]);
      const texts = outputs.map((each) => `(${each.map((x) => fixed(x, 3)).join(", ")})`);
      this.table(names, weights, texts);
      this.shadowRoot.querySelectorAll("button").forEach((button, place) => {
        button.textContent = names[place];
        button.setAttribute("aria-label", words.move
          .replace("{word}", () => names[place]).replace("{place}", place + 1));
      });
      const differs = (word, place) =>
        outputs[place].some((x, i) => Math.abs(x - first[word][i]) > 0.0005);
      this.say({
        sentence: names.join(""), mode: words[mode],
        outputs: names.map((name, place) => `${name} ${texts[place]}`).join(", "),
        changed: this.order.filter(differs).length, count: names.length,
      });
    }

    table(names, weights, texts) {
      const text = (x, y, words) => `<text x="${x}" y="${y}">${plain(words)}</text>`;
      const rows = weights.map((row, m) => {
        const y = 26 + 44 * m;
        return text(32, y + 24, names[m]) + row.map((weight, n) =>
          `<rect x="${66 + 56 * n}" y="${y}" width="52" height="40" fill-opacity="${0.6 * weight}"/>` +
          text(92 + 56 * n, y + 24, `${fixed(100 * weight, 0)}%`)).join("") +
          text(129 + 56 * names.length, y + 24, texts[m]);
      });
      const head = names.map((name, n) => text(92 + 56 * n, 18, name));
      this.draw(200 + 56 * names.length, 32 + 44 * names.length, head.concat(rows).join(""));
    }
  });
}
