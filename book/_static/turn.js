// The front page's figure: one slider shifts two words, their hands turn, the angle stays. Hands turn
// as in the book's clock (rope_lib/course/elements/clock.js): counter-clockwise from 3 o'clock.
// Without scripts the figure stands still and the slider stays hidden.
const STEP = 30; // degrees for each position
const START = { n: 3, m: 5 };

class RopeTurn extends HTMLElement {
  connectedCallback() {
    this.slider = this.querySelector("input");
    this.readout = this.querySelector(".readout");
    this.querySelector(".live").hidden = false;
    const show = () => {
      this.rest();
      this.show();
    };
    this.slider.addEventListener("input", show);
    this.querySelector("button").addEventListener("click", () => {
      this.slider.value = 0;
      show();
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
    // Screens turn clockwise for positive angles.
    this.querySelector("g.turning").style.transform = `rotate(${-STEP * shift}deg)`;
    this.querySelector("g.moving").style.transform = `translate(${17 * shift}px)`;
    for (const [name, start] of Object.entries(START)) {
      this.querySelector(`output[name=${name}]`).textContent = start + shift;
      this.place(`text.${name}`, start + shift, 118);
    }
    this.place("text.angle", (START.m + START.n) / 2 + shift, 70);
    this.querySelector("b").textContent = shift;
    this.slider.ariaValueText = `${shift}: n = ${START.n + shift}, m = ${START.m + shift}`;
  }

  // The text turns back, so that it stays upright while it travels.
  place(selector, position, radius) {
    const angle = -position * STEP;
    const text = this.querySelector(selector);
    text.style.transform = `rotate(${angle}deg) translate(${radius}px) rotate(${-angle}deg)`;
  }
}

customElements.define("rope-turn", RopeTurn);
