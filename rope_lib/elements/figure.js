// What all moving figures share: sliders with labels, a line that is read aloud, and good manners
// in a notebook. A figure gives page(), settings() and show().
if (!window.RopeFigure) {
  const style = `
svg { fill: none; stroke: currentColor }
text { fill: currentColor; stroke: none; text-anchor: middle }
label { display: grid; align-items: center; gap: 0 .5rem }
label span { grid-column: 1 / 3 }
input { width: 100%; min-width: 0; height: 2rem; margin: 0; color: inherit; accent-color: currentColor }
b { text-align: right; font-variant-numeric: tabular-nums }
p { margin: .5rem 0; font-variant-numeric: tabular-nums }
`;
  window.RopeFigure = class extends HTMLElement {
    connectedCallback() {
      if (this.shadowRoot) return;
      this.config = JSON.parse(this.dataset.config);
      const { words } = this.config;
      const root = this.attachShadow({ mode: "open" });
      const settings = this.settings(); // [name, class, largest value, first value] of each slider
      root.innerHTML = this.page(`<div>${settings.map(([name, kind]) =>
        `<label class="${kind}"><span></span><input type="range" name="${name}" min="0"><b></b></label>`
      ).join("")}<p aria-live="polite"></p></div>`).replace("<style>", `<style>${style}`);
      root.querySelectorAll("input").forEach((input, i) => {
        [input.max, input.value] = settings[i].slice(2);
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

    // The sliders' numbers, each written beside its slider as `written` has it.
    values(written = (name, value) => String(value)) {
      return [...this.shadowRoot.querySelectorAll("input")].map((input) => {
        const value = Number(input.value);
        input.nextSibling.textContent = written(input.name, value);
        input.setAttribute("aria-valuetext", input.nextSibling.textContent);
        return value;
      });
    }

    say(numbers) {
      let text = this.config.words.readout;
      for (const [name, number] of Object.entries(numbers)) text = text.replace(`{${name}}`, number);
      this.shadowRoot.querySelector("p").textContent = text;
    }
  };
}
