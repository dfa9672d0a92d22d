// The front page's figure: one slider shifts two words, their hands turn, the angle stays.
// Without scripts the figure stands still and the slider stays hidden.
const STEP = 30; // degrees for each position
const START = { n: 3, m: 5 };

class RopeTurn extends HTMLElement {
  connectedCallback() {
    this.slider = this.querySelector("input");
    this.readout = this.querySelector(".readout");
    this.slider.hidden = false;
    this.slider.addEventListener("input", () => {
      this.rest();
      this.show();
    });
    this.show();
    this.play();
  }

  disconnectedCallback() {
    this.rest();
  }

  // Four steps after the page has opened, then rest: enough to see the idea, not enough to disturb.
  play() {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    this.readout.ariaLive = "off";
    this.timer = setInterval(() => {
      this.slider.value = Number(this.slider.value) + 1;
      this.show();
      if (this.slider.value >= 4) this.rest();
    }, 900);
  }

  rest() {
    clearInterval(this.timer);
    this.readout.ariaLive = "polite";
  }

  show() {
    const shift = Number(this.slider.value);
    this.querySelector("g.turning").style.transform = `rotate(${STEP * shift}deg)`;
    for (const [name, start] of Object.entries(START)) {
      this.querySelector(`output[name=${name}]`).textContent = start + shift;
      this.place(`text.${name}`, start + shift, 118);
    }
    this.place("text.angle", (START.m + START.n) / 2 + shift, 70);
    this.slider.ariaValueText = `n = ${START.n + shift}, m = ${START.m + shift}`;
  }

  // Position 0 points to twelve o'clock and the hands go the way of the clock. The text turns back,
  // so that it stays upright while it travels.
  place(selector, position, radius) {
    const angle = position * STEP - 90;
    const text = this.querySelector(selector);
    text.style.transform = `rotate(${angle}deg) translate(${radius}px) rotate(${-angle}deg)`;
  }
}

customElements.define("rope-turn", RopeTurn);
