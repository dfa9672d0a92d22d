// <rope-hands>: every hand of a head, turned by the distance between two tokens.
// Numbers and words come from data-config; hands.py writes it, and the picture
// and line inside the element, which stay where this script does not run.
if (!customElements.get("rope-hands")) {
  const { plain, written } = window.RopeFigure;

  customElements.define("rope-hands", class extends window.RopeFigure {
    page(controls) {
      return `<style>
.still { opacity: .7 } .tells { color: var(--blue) } .gone { color: var(--red) }
.gone .hand { stroke-dasharray: 5 3 }
</style><svg role="img"></svg>${controls}`;
    }

    settings() {
      return ["distance", "base"].map((name) => {
        const values = this.config[`${name}s`];
        return [name, "", values.length - 1, values.indexOf(this.config[name])];
      });
    }

    show() {
      const { pairs, distances, bases, still } = this.config;
      const known = { distance: distances, base: bases };
      const [i, j] = this.values((name, place) => written(known[name][place]));
      const [distance, base] = [distances[i], bases[j]];
      const count = { gone: 0, tells: 0, still: 0 };
      const dials = Array.from({ length: pairs }, (_, pair) => {
        const angle = distance * base ** (-pair / pairs);
        const kind = angle >= 2 * Math.PI ? "gone" : angle < still ? "still" : "tells";
        count[kind] += 1;
        return this.dial(pair, angle, kind);
      });
      this.draw(400, Math.ceil(pairs / 4) * 112, dials.join(""));
      this.say({ distance: written(distance), base: written(base), ...count });
    }

    // Screens count y downwards, so a turn counter-clockwise changes its sign.
    dial(pair, angle, kind) {
      const [x, y] = [50 + 100 * (pair % 4), 46 + 112 * Math.floor(pair / 4)];
      const tip = `${(40 * Math.cos(angle)).toFixed(1)} ${(-40 * Math.sin(angle)).toFixed(1)}`;
      return `<g class="${kind}" transform="translate(${x} ${y})"><circle r="42" opacity=".4"/>` +
        `<path d="M0 0H40" opacity=".5"/><path class="hand" d="M0 0L${tip}" stroke-width="4"/>` +
        `<text y="58">${plain(this.config.words[kind])}</text></g>`;
    }
  });
}
