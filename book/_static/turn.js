// The front page's figure: one slider shifts two words, their hands turn, the angle does not change.
// Hands turn as in the book's clock (rope_lib/course/elements/clock.js): counter-clockwise from
// 3 o'clock. Without scripts the figure is a still picture and the slider is hidden.
const STEP = 30; // degrees for each position
const START = { n: 3, m: 5 };
const GLIDE = 500; // milliseconds from one value of the slider to the next
const STILL = matchMedia("(prefers-reduced-motion: reduce)");

class RopeTurn extends HTMLElement {
  connectedCallback() {
    this.slider = this.querySelector("input");
    this.readout = this.querySelector(".readout");
    this.querySelector(".live").hidden = false;
    const move = () => {
      this.rest();
      this.glide();
    };
    this.slider.addEventListener("input", move);
    this.querySelector("button").addEventListener("click", () => {
      this.slider.value = 0;
      move();
    });
    this.show(Number(this.slider.value));
    this.play();
  }

  disconnectedCallback() {
    this.rest();
    cancelAnimationFrame(this.frame);
  }

  // Four steps after the page has opened, then rest: enough to see the idea, not enough to disturb.
  play() {
    if (STILL.matches) return;
    this.readout.ariaLive = "off";
    this.timer = setInterval(() => {
      if (this.slider.value >= 4) return this.rest();
      this.slider.value = Number(this.slider.value) + 1;
      this.glide();
    }, 900);
  }

  rest() {
    clearInterval(this.timer);
    this.readout.ariaLive = "polite";
  }

  // From the shift that is shown to that of the slider, slowly at both ends.
  glide() {
    cancelAnimationFrame(this.frame);
    const from = this.shift;
    const way = Number(this.slider.value) - from;
    const begin = performance.now();
    const step = (now) => {
      const part = STILL.matches ? 1 : Math.min(Math.max((now - begin) / GLIDE, 0), 1);
      this.show(from + way * part * part * (3 - 2 * part));
      if (part < 1) this.frame = requestAnimationFrame(step);
    };
    step(begin);
  }

  // Hands, squares and numbers are set together, so that they agree in every frame: between two
  // positions the numbers are those of the nearer one.
  show(shift) {
    this.shift = shift;
    const whole = Math.round(shift);
    // Screens turn clockwise for positive angles.
    this.querySelector("g.turning").style.transform = `rotate(${-STEP * shift}deg)`;
    this.querySelector("g.moving").style.transform = `translate(${17 * shift}px)`;
    for (const [name, start] of Object.entries(START)) {
      this.write(`output[name=${name}]`, start + whole);
      this.place(`text.turning.${name}`, start + shift, 135, 119);
    }
    this.place("text.angle", (START.m + START.n) / 2 + shift, 70, 70);
    this.write("b", whole);
    const places = { shift: whole, n: START.n + whole, m: START.m + whole };
    const spoken = this.slider.dataset.spoken; // in the language of the page
    this.slider.ariaValueText = spoken.replace(/{(\w+)}/g, (_, name) => places[name]);
  }

  // A text that does not change is left alone, or it would be read aloud in every frame.
  write(selector, number) {
    const place = this.querySelector(selector);
    if (place.textContent !== String(number)) place.textContent = number;
  }

  // On an ellipse, since words are wider than they are high.
  place(selector, position, wide, high) {
    const angle = (position * STEP * Math.PI) / 180;
    const [x, y] = [wide * Math.cos(angle), -high * Math.sin(angle)];
    this.querySelector(selector).style.transform = `translate(${x}px, ${y}px)`;
  }
}

customElements.define("rope-turn", RopeTurn);
