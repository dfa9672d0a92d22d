// What all moving figures share: controls with labels, a line that is read aloud, and good manners
// in a notebook. A figure gives page(), settings() and show(), and may listen() for more.
if (!window.RopeFigure) {
  const style = `
:host { display: block; max-width: 44rem; --blue: #0072B2; --red: #D55E00; --green: #00785A }
@supports (color: color-mix(in srgb, red, blue)) { :host {
  --blue: color-mix(in srgb, #0072B2 65%, currentColor);
  --red: color-mix(in srgb, #D55E00 70%, currentColor);
  --green: color-mix(in srgb, #009E73 60%, currentColor) } }
svg { display: block; width: 100%; max-width: 34rem; height: auto; fill: none; stroke: currentColor; color: inherit }
text { fill: currentColor; stroke: none; text-anchor: middle; font-size: 13px; text-rendering: geometricPrecision }
label, p { overflow-wrap: anywhere }
label { display: grid; align-items: center; gap: 0 .5rem; margin: .25rem 0;
  grid-template-columns: minmax(0, 1fr) minmax(var(--digits, 10ch), auto) }
label span { grid-column: 1 / 3 }
input { width: 100%; min-width: 0; height: 2rem; margin: 0; color: inherit; accent-color: currentColor }
select { grid-column: 1 / 3; min-width: 0; min-height: 2rem; font: inherit; color: FieldText; background: Field }
b { text-align: right; overflow-wrap: normal; font-variant-numeric: tabular-nums }
p { margin: .5rem 0; font-variant-numeric: tabular-nums }
`;
  // A range is the largest value of a slider, or the names of the choices of a menu.
  const control = ([name, kind, range]) => `<label class="${kind}"><span></span>` + (
    Array.isArray(range)
      ? `<select name="${name}">${range.map((each) => `<option value="${each}">`).join("")}</select>`
      : `<input type="range" name="${name}" min="0" max="${range}"><b></b>`) + "</label>";

  window.RopeFigure = class extends HTMLElement {
    // Halves away from zero, as toFixed does, and no minus before a zero.
    static fixed = (x, digits) =>
      x.toFixed(digits).replace(/^-(?=[0.]*$)/, "").replace("-", "−");
    static written = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, ",");
    static plain = (words) => words.replace(/&/g, "&amp;").replace(/</g, "&lt;");
    static line = (points) =>
      "M" + points.map((point) => point.map((x) => x.toFixed(1)).join(" ")).join("L");

    connectedCallback() {
      if (this.shadowRoot) return;
      this.config = JSON.parse(this.dataset.config);
      const { words } = this.config;
      const root = this.attachShadow({ mode: "open" });
      const settings = this.settings(); // [name, class, range, first value] of each control
      root.innerHTML = this.page(
        `<div>${settings.map(control).join("")}<p aria-live="polite"></p></div>`
      ).replace("<style>", `<style>${style}`);
      root.querySelectorAll("option").forEach((option) => option.text = words[option.value]);
      this.controls = [...root.querySelectorAll("[name]")];
      this.controls.forEach((each, i) => {
        each.value = settings[i][3];
        each.previousSibling.textContent = words[each.name];
        each.setAttribute("aria-label", words[each.name]); // or the value would be a part of the name
      });
      root.querySelector("svg").setAttribute("aria-label", words.picture);
      root.addEventListener("input", () => this.show());
      // JupyterLab would take the focus and the keys for its cells.
      for (const type of ["mousedown", "focusin", "keydown"])
        root.addEventListener(type, (event) => {
          if (!(event.ctrlKey || event.metaKey || /^(Tab|Escape)$/.test(event.key)))
            event.stopPropagation();
        });
      this.listen?.();
      this.show();
    }

    // What the controls say. A slider's number is written beside it, as `written` has it.
    values(written = (name, value) => String(value)) {
      return this.controls.map((each) => {
        if (each.type !== "range") return each.value;
        const value = Number(each.value);
        each.nextSibling.textContent = written(each.name, value);
        each.setAttribute("aria-valuetext", each.nextSibling.textContent);
        return value;
      });
    }

    draw(width, height, drawn) {
      const svg = this.shadowRoot.querySelector("svg");
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.innerHTML = drawn;
    }

    say(numbers) {
      let text = this.config.words.readout;
      for (const [name, number] of Object.entries(numbers))
        text = text.replace(`{${name}}`, () => number);
      this.shadowRoot.querySelector("p").textContent = text;
    }
  };
}
