// What all moving figures share: a frame with a question, controls with their values, a line that is
// read aloud, a way back, what the words mean, and good manners in a notebook. A figure gives
// settings() and show(); it may give `look` (CSS), above() (HTML over the picture), listen()
// and restart().
if (!window.RopeFigure) {
  const style = `
:host { display: block; max-width: 44rem; --blue: #0072B2; --red: #C24E00; --green: #00785A; --orange: #E69F00 }
@supports (color: color-mix(in srgb, red, blue)) { :host {
  --blue: color-mix(in srgb, #0072B2 65%, currentColor);
  --red: color-mix(in srgb, #D55E00 70%, currentColor);
  --green: color-mix(in srgb, #009E73 60%, currentColor) } }
.frame { box-sizing: border-box; padding: .9rem 1rem 1rem; border: 1px solid var(--frame, #8886); border-radius: .5rem }
.title { margin: 0 0 .6rem; font-size: 1.05rem; font-weight: 650; line-height: 1.3; text-wrap: balance }
svg { display: block; width: 100%; height: auto; fill: none; stroke: currentColor; color: inherit }
text { fill: currentColor; stroke: none; text-anchor: middle; font-size: 12px; text-rendering: geometricPrecision }
.start { text-anchor: start } .end { text-anchor: end } .grid { opacity: .16 } .axis { opacity: .6 }
p, label, button, summary { overflow-wrap: anywhere }
.said { box-sizing: border-box; margin: .7rem 0; padding: .45rem .75rem; border-left: 4px solid var(--blue); border-radius: 0 .4rem .4rem 0;
  background: #8881; font-size: .95rem; line-height: 1.45; font-variant-numeric: tabular-nums }
.controls { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; align-items: end; margin-top: .7rem }
label { flex: 1 1 10rem; max-width: 22rem; display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 0 .75rem;
  align-items: end; font-size: .95rem; line-height: 1.3 } label:has(select) { flex: 0 1 auto; max-width: 100% }
input, select { grid-column: 1 / 3; box-sizing: border-box; width: 100%; min-width: 0; height: 2.25rem; margin: 0 }
input { color: inherit; accent-color: var(--blue); touch-action: pan-y }
select { font: inherit; color: FieldText; background: Field; padding: 0 .5rem; border: 1px solid #888a; border-radius: .4rem }
b { font-weight: 650; font-variant-numeric: tabular-nums } label b { text-align: right; white-space: nowrap }
button { min-height: 2.25rem; padding: .2rem .9rem; font: inherit; color: inherit; background: none;
  border: 1px solid #888a; border-radius: .4rem; cursor: pointer }
:is(button, summary, input, select):focus-visible { outline: 2px solid var(--blue); outline-offset: 2px } input:focus-visible { outline-offset: -3px; border-radius: .4rem }
.foot { display: flow-root; margin-top: .7rem; font-size: .95rem } .reset { float: right; margin: 0 0 .4rem 1rem }
summary { padding: .35rem 0; cursor: pointer } details p { margin: .3rem 0; line-height: 1.45 }
`;
  const plain = (words) => words.replace(/&/g, "&amp;").replace(/</g, "&lt;");
  const text = (x, y, says, kind = "") => `<text class="${kind}" x="${+x.toFixed(1)}" y="${+y.toFixed(1)}">${plain(says)}</text>`;
  const written = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, ",");
  // A page of the book says its language; elsewhere, as in a notebook, it is the reader's.
  const chinese = () =>
    (document.querySelector(".bd-article") ? document.documentElement.lang : navigator.language).startsWith("zh");
  // A range is the largest value of a slider, or the names of the choices of a menu.
  const control = ([name, kind, range]) => `<label class="${kind}"><span></span>` + (
    Array.isArray(range)
      ? `<select name="${name}">${range.map((each) => `<option value="${each}">`).join("")}</select>`
      : `<b></b><input type="range" name="${name}" min="0" max="${range}">`) + "</label>";

  window.RopeFigure = class extends HTMLElement {
    static plain = plain;
    static text = text;
    static written = written;
    // Halves away from zero, as toFixed does, and no minus before a zero.
    static fixed = (x, digits) =>
      x.toFixed(digits).replace(/^-(?=[0.]*$)/, "").replace("-", "−");
    // Three digits that count: 0.316, 6.28, 1,990, 3.16×10⁻⁴.
    static short = (x) => {
      const [digits, power] = x.toExponential(2).split("e");
      if (power >= -3 && power < 6) return String(Number(`${digits}e${power}`)).replace(/^\d+/, written);
      return `${Number(digits)}×10${[...power].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? (c === "-" ? "⁻" : "")).join("")}`;
    };
    static line = (points) =>
      "M" + points.map((point) => point.map((x) => x.toFixed(1)).join(" ")).join("L");
    // Two axes around a box, left, top, right, bottom, with their names and marks: [where, what].
    static axes = ([left, top, right, bottom], xs, ys, xname, yname) =>
      xs.map(([x, says]) => `<path class="grid" d="M${x.toFixed(1)} ${top}V${bottom}"/>` + text(x, bottom + 17, says)).join("") +
      ys.map(([y, says]) => `<path class="grid" d="M${left} ${y.toFixed(1)}H${right}"/>` + text(left - 6, y + 4, says, "end")).join("") +
      `<path class="axis" d="M${left} ${top}V${bottom}H${right}"/>` +
      text((left + right) / 2, bottom + 35, xname) + text(Math.max(left - 44, 1), top - 12, yname, "start");

    connectedCallback() {
      if (this.shadowRoot) return;
      this.config = JSON.parse(this.dataset.config);
      const words = this.config.words = { ...this.config.words, ...(chinese() && this.config.zh) };
      const root = this.attachShadow({ mode: "open" });
      const settings = this.settings(); // [name, class, range, first value] of each control
      const means = words.means.split("\n").map((each) => {
        const [, term, rest] = each.match(/^(.*?[:：])(.*)$/) ?? [, "", each];
        return `<p><b>${plain(term)}</b>${plain(rest)}</p>`;
      });
      root.innerHTML = `<style>${style}${this.look ?? ""}</style>
<div class="frame" role="group" aria-labelledby="title"><p class="title" id="title">${plain(words.title)}</p>
<div class="body">${this.above?.() ?? ""}<svg role="img"></svg><div class="side"><div class="controls">${settings.map(control).join("")}</div>
<p class="said" aria-live="polite"></p></div></div>
<div class="foot"><button class="reset">${plain(words.reset)}</button><details><summary>${plain(words.about)}</summary>${means.join("")}</details></div></div>`;
      root.querySelectorAll("option").forEach((option) => option.text = words[option.value]);
      this.controls = [...root.querySelectorAll("[name]")];
      this.controls.forEach((each) => {
        each.closest("label").firstChild.textContent = words[each.name];
        each.setAttribute("aria-label", words[each.name]); // or the value would be a part of the name
      });
      this.svg = root.querySelector("svg");
      this.svg.setAttribute("aria-label", words.picture);
      root.addEventListener("input", () => this.show());
      const start = () => {
        this.controls.forEach((each, i) => each.value = settings[i][3]);
        this.restart?.();
        this.show();
      };
      root.querySelector(".reset").addEventListener("click", start);
      // JupyterLab would take the focus and the keys for its cells.
      for (const type of ["mousedown", "focusin", "keydown"])
        root.addEventListener(type, (event) => {
          if (!(event.ctrlKey || event.metaKey || /^(Tab|Escape)$/.test(event.key)))
            event.stopPropagation();
        });
      this.listen?.();
      start();
      // Pictures are drawn as wide as there is room, so that letters keep their size.
      let drawn = this.room;
      new ResizeObserver(() => {
        if (this.room === drawn) return;
        drawn = this.room;
        this.shadowRoot.querySelector(".said").style.minHeight = "";
        this.show();
      }).observe(this.svg);
    }

    get room() {
      return Math.round(this.svg.clientWidth) || 400;
    }

    // What the controls say. A slider's number is written beside it, as `written` has it.
    values(written = (name, value) => String(value)) {
      return this.controls.map((each) => {
        if (each.type !== "range") return each.value;
        const value = Number(each.value);
        each.previousSibling.textContent = written(each.name, value);
        each.setAttribute("aria-valuetext", each.previousSibling.textContent);
        return value;
      });
    }

    draw(width, height, drawn) {
      this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      this.svg.innerHTML = drawn;
    }

    say(numbers) {
      let text = this.config.words.readout;
      for (const [name, number] of Object.entries(numbers))
        text = text.replace(`{${name}}`, () => number);
      const said = this.shadowRoot.querySelector(".said");
      if (said.textContent !== text) said.textContent = text; // or it would be read aloud again
      said.style.minHeight = `${said.offsetHeight}px`; // a shorter line must not move what is below
    }
  };
}
