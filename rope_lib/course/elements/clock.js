// <rope-clock>: a query hand at position m and a key hand at position n on one dial.
// Numbers and words come from data-config; clock.py writes it, and the picture
// and line inside the element, which stay where this script does not run.
if (!customElements.get("rope-clock")) {
  const { fixed } = window.RopeFigure;
  const turn = ([x, y], angle) => [
    x * Math.cos(angle) - y * Math.sin(angle),
    x * Math.sin(angle) + y * Math.cos(angle),
  ];

  customElements.define("rope-clock", class extends window.RopeFigure {
    page(controls) {
      return `<style>
:host { --digits: 4ch; display: flex; flex-wrap: wrap; gap: 0 1.5rem; align-items: center }
svg { flex: 1 1 15rem; max-width: 20rem; margin: auto; min-width: 0 }
text { font-size: 15px; font-style: italic; dominant-baseline: central }
.q { color: var(--blue) } .k { color: var(--red) }
div { flex: 1 1 16rem; min-width: 0 }
</style>
<svg viewBox="-120 -120 240 240" role="img">
<circle r="100" opacity=".4"/>
<circle r="97" pathLength="24" stroke-width="6" stroke-dasharray=".06 .94" stroke-dashoffset=".03" opacity=".5"/>
<path class="arc" fill="currentColor" fill-opacity=".12" stroke="none"/>
<circle class="mark" r="5" fill="currentColor" stroke="none" opacity=".6"/>
<path class="q" stroke-width="4"/><path class="k" stroke-width="4" stroke-dasharray="7 4"/>
<circle r="4" fill="currentColor" stroke="none"/><text class="q">q</text><text class="k">k</text>
</svg>${controls}`;
    }

    settings() {
      const { m, n, positions, shifts } = this.config;
      return [["m", "q", positions, m], ["n", "k", positions, n], ["shift", "", shifts, 0]];
    }

    show() {
      const { query, key, theta } = this.config;
      const [m, n, shift] = this.values();
      const q = turn(query, (m + shift) * theta);
      const k = turn(key, (n + shift) * theta);
      const score = q[0] * k[0] + q[1] * k[1];
      const angle = Math.atan2(k[0] * q[1] - k[1] * q[0], score);
      this.move(q, k, angle, shift * theta);
      this.say({
        m: m + shift, n: n + shift, distance: fixed(m - n, 0),
        angle: fixed((Math.abs(angle) * 180) / Math.PI, 1), score: fixed(score, 3),
      });
    }

    // The longer hand reaches the dial, letters make room for each other. Screens count y
    // downwards, so y changes its sign.
    move(q, k, angle, shifted) {
      const longest = Math.max(Math.hypot(...q), Math.hypot(...k));
      const at = ([x, y], radius) => `${(x * radius).toFixed(1)} ${(-y * radius).toFixed(1)}`;
      const aside = angle < 0 ? -0.09 : 0.09;
      for (const [name, hand, lean] of [["q", q, aside], ["k", k, -aside]]) {
        this.set(`path.${name}`, { d: `M0 0L${at(hand, 88 / longest)}` });
        const [x, y] = at(turn(hand, lean), 109 / Math.hypot(...hand)).split(" ");
        this.set(`text.${name}`, { x, y });
      }
      const from = at(k, 34 / Math.hypot(...k));
      const to = at(q, 34 / Math.hypot(...q));
      this.set(".arc", { d: `M0 0L${from}A34 34 0 0 ${angle > 0 ? 0 : 1} ${to}Z` });
      this.set(".mark", { transform: `translate(${at(turn([1, 0], shifted), 100)})` });
    }

    set(selector, attributes) {
      const element = this.shadowRoot.querySelector(selector);
      for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    }
  });
}
