// <rope-hands>: every hand of a head, turned by the distance between two tokens.
// Numbers and words come from data-config; rope_lib/interactive.py writes it, and the picture
// and line inside the element, which stay where this script does not run.
if (!customElements.get("rope-hands")) {
  const page = `<style>
:host { display: block; max-width: 44rem; --gone: #D55E00; --tells: #0072B2 }
@supports (color: color-mix(in srgb, red, blue)) { :host {
  --tells: color-mix(in srgb, #0072B2 65%, currentColor);
  --gone: color-mix(in srgb, #D55E00 70%, currentColor) } }
svg { display: block; width: 100%; height: auto; fill: none; stroke: currentColor }
text { fill: currentColor; stroke: none; font-size: 13px; text-anchor: middle }
.still { opacity: .7 } .tells { color: var(--tells) } .gone { color: var(--gone) }
.gone .hand { stroke-dasharray: 5 3 }
label { display: grid; grid-template-columns: 1fr 5rem; align-items: center; gap: 0 .5rem }
label span { grid-column: 1 / 3 }
input { width: 100%; min-width: 0; height: 2rem; margin: 0; color: inherit; accent-color: currentColor }
b { text-align: right; font-variant-numeric: tabular-nums }
p { margin: .5rem 0; font-variant-numeric: tabular-nums }
</style>
<svg role="img"></svg>
<div>${["distance", "base"].map((name) =>
    `<label><span></span><input type="range" name="${name}" min="0" step="1"><b></b></label>`).join("")}
<p aria-live="polite"></p></div>`;
  const written = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, ",");

  customElements.define("rope-hands", class extends HTMLElement {
    connectedCallback() {
      if (this.shadowRoot) return;
      this.config = JSON.parse(this.dataset.config);
      const { distance, base, distances, bases, words } = this.config;
      const root = this.attachShadow({ mode: "open" });
      root.innerHTML = page;
      root.querySelectorAll("input").forEach((input) => {
        const [values, first] = { distance: [distances, distance], base: [bases, base] }[input.name];
        input.max = values.length - 1;
        input.value = values.indexOf(first);
        input.previousSibling.textContent = words[input.name];
      });
      root.querySelector("svg").setAttribute("aria-label", words.picture);
      root.addEventListener("input", () => this.show());
      // JupyterLab would take the focus and the arrow keys for its cells.
      for (const type of ["mousedown", "focusin", "keydown"])
        root.addEventListener(type, (event) => {
          if (!event.key || /^(Arrow|Home|End|Page)/.test(event.key)) event.stopPropagation();
        });
      this.show();
    }

    show() {
      const { pairs, distances, bases, still, words } = this.config;
      const [distance, base] = [...this.shadowRoot.querySelectorAll("input")].map((input) => {
        const value = { distance: distances, base: bases }[input.name][Number(input.value)];
        input.nextSibling.textContent = written(value);
        input.setAttribute("aria-valuetext", written(value));
        return value;
      });
      const count = { gone: 0, tells: 0, still: 0 };
      const dials = Array.from({ length: pairs }, (_, i) => {
        const angle = distance * base ** (-i / pairs);
        const kind = angle >= 2 * Math.PI ? "gone" : angle < still ? "still" : "tells";
        count[kind] += 1;
        return this.dial(i, angle, kind);
      });
      const rows = Math.ceil(pairs / 4);
      const svg = this.shadowRoot.querySelector("svg");
      svg.setAttribute("viewBox", `0 0 400 ${rows * 112}`);
      svg.innerHTML = dials.join("");
      this.shadowRoot.querySelector("p").textContent = words.readout
        .replace("{distance}", written(distance))
        .replace("{base}", written(base))
        .replace("{gone}", count.gone)
        .replace("{tells}", count.tells)
        .replace("{still}", count.still);
    }

    // Screens count y downwards, so a turn counter-clockwise changes its sign.
    dial(i, angle, kind) {
      const [x, y] = [50 + 100 * (i % 4), 46 + 112 * Math.floor(i / 4)];
      const tip = `${(40 * Math.cos(angle)).toFixed(1)} ${(-40 * Math.sin(angle)).toFixed(1)}`;
      return `<g class="${kind}" transform="translate(${x} ${y})"><circle r="42" opacity=".4"/>` +
        `<path d="M0 0H40" opacity=".5"/><path class="hand" d="M0 0L${tip}" stroke-width="4"/>` +
        `<text y="58">${this.config.words[kind]}</text></g>`;
    }
  });
}
