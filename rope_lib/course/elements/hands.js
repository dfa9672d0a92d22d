// <rope-hands>: every pair of a head, rotated by the distance of two tokens, and which distances
// would look the same. Numbers and words come from data-config; hands.py writes it, and what stands
// inside the element where this script does not run.
if (!customElements.get("rope-hands")) {
  const { short, text, written } = window.RopeFigure;
  const circle = 2 * Math.PI;

  customElements.define("rope-hands", class extends window.RopeFigure {
    // On a phone the controls come first, so that they and the hands are in view together.
    look = `
.first, .gone { color: var(--blue) } .gone .hand { stroke-dasharray: 5 3 } .still { opacity: .75 }
.hand { stroke-width: 4 } .near { fill: currentColor; fill-opacity: .25; stroke: none } .head { font-weight: 700 }
.fits { stroke: var(--blue) } .left { stroke: var(--green) } .bed { opacity: .08 } .here { stroke-dasharray: 3 3 }
@media (max-width: 34rem) {
  .body { display: grid } .side { display: contents } .controls { order: -1; margin: 0 0 1rem }
  label { flex-basis: 7rem } label:first-child { flex-basis: 100% } }
`;

    settings() {
      return ["distance", "base", "precision"].map((name) => {
        const values = this.config[`${name}s`];
        return [name, "", values.length - 1, values.indexOf(this.config[name])];
      });
    }

    show() {
      const { pairs, distances, bases, precisions } = this.config;
      const [distance, base, degrees] = this.values((name, place) =>
        name === "precision" ? `±${precisions[place]}°` : written(this.config[`${name}s`][place])
      ).map((place, i) => [distances, bases, precisions][i][place]);
      const near = degrees * Math.PI / 180;
      const thetas = Array.from({ length: pairs }, (_, i) => base ** (-i / pairs));
      const count = { gone: 0, first: 0, still: 0 };
      const kinds = thetas.map((theta) => {
        const kind = distance * theta >= circle ? "gone" : distance * theta < near ? "still" : "first";
        count[kind] += 1;
        return kind;
      });
      const left = this.fitting(distance, thetas, near);
      const columns = [8, 4, 3, 2].find((each) => each * 78 <= this.room) ?? 1;
      const across = this.room / Math.min(columns, pairs);
      const below = Math.ceil(pairs / columns) * 134;
      const dials = thetas.map((theta, i) => this.dial(i, theta, distance, near, kinds[i],
        across * (i % columns + 0.5), 40 + 134 * Math.floor(i / columns)));
      const [rows, height] = this.rows(below + 34, distance, thetas, near, left);
      this.draw(this.room, height, dials.join("") + rows);
      this.say({
        distance: written(distance), base: written(base), precision: `±${degrees}°`, ...count,
        alone: written(Math.min(...thetas.map((theta) => this.alone(distance, theta, near)))),
        left: written(left.length), all: written(distances.at(-1)),
        which: left.slice(0, 4).map(written).join(", ") + (left.length > 4 ? ", …" : ""),
      });
    }

    // Every distance that all hands together could stand for, with angles equal within `near`.
    fitting(distance, thetas, near) {
      const least = Math.cos(near);
      const last = this.config.distances.at(-1);
      const found = [];
      for (let each = 1; each <= last; each++)
        if (thetas.every((theta) => Math.cos((each - distance) * theta) >= least)) found.push(each);
      return found;
    }

    // How many distances one hand leaves by itself: those near it, one turn farther, and so on.
    alone(distance, theta, near) {
      const last = this.config.distances.at(-1);
      let count = 0;
      for (let k = Math.ceil(-(distance * theta + near) / circle); ; k++) {
        const from = Math.max(1, Math.ceil(distance + (k * circle - near) / theta));
        if (from > last) return count;
        count += Math.max(0, Math.min(last, Math.floor(distance + (k * circle + near) / theta)) - from + 1);
      }
    }

    // Screens count y downwards, so a turn counter-clockwise changes its sign.
    dial(i, theta, distance, near, kind, x, y) {
      const at = (angle, radius) => `${(radius * Math.cos(angle)).toFixed(1)} ${(-radius * Math.sin(angle)).toFixed(1)}`;
      const angle = distance * theta;
      return `<g class="${kind}" transform="translate(${x.toFixed(1)} ${y})"><circle r="36" opacity=".5"/>` +
        `<path d="M0 0H36" opacity=".5"/><path class="near" d="M0 0L${at(angle - near, 36)}A36 36 0 0 0 ${at(angle + near, 36)}Z"/>` +
        `<path class="hand" d="M0 0L${at(angle, 34)}"/></g>` +
        text(x, y + 52, `i = ${i}`, "head") + text(x, y + 67, `θ ${short(theta)}`) + text(x, y + 82, `λ ${short(circle / theta)}`);
    }

    // A row for each pair: the distances that its hand could stand for; the last row is what is left.
    rows(top, distance, thetas, near, found) {
      const { distances, words } = this.config;
      const last = distances.at(-1);
      const [left, right] = [46, this.room - 26];
      const across = (tokens) => left + (right - left) * Math.log(Math.max(tokens, 1)) / Math.log(last);
      // A stroke, as thick as its row.
      const bar = (from, to, y, wide = 2) => {
        const [a, b] = [across(from), Math.min(across(to), right)];
        const width = Math.max(b - a, wide);
        return `M${((a + b - width) / 2).toFixed(1)} ${y}h${width.toFixed(1)}`;
      };
      const pitch = Math.max(7, Math.min(18, Math.round(150 / thetas.length)));
      let dense = "";
      let drawn = text(2, top - 12, words.pair, "start") + `<g stroke-width="${pitch - 2}">`;
      thetas.forEach((theta, i) => {
        const y = top + pitch * (i + 0.5);
        const wave = circle / theta;
        let fits = "";
        const half = near / theta;
        let middle = distance + Math.ceil((1 - distance - half) / wave) * wave;
        // Where teeth would touch each other, their share of the circle is shown.
        while (middle - half <= last && across(middle + wave) - across(middle) >= 5) {
          fits += bar(middle - half, middle + half, y);
          middle += wave;
        }
        drawn += `<path class="bed" d="${bar(1, last, y)}"/><path class="fits" d="${fits}"/>`;
        if (middle - half <= last) {
          drawn += `<path class="fits" stroke-opacity="${(near / Math.PI).toFixed(3)}" d="${bar(middle - wave / 2, last, y)}"/>`;
          if (!i && pitch > 14) dense = text(right - 5, y + 4, words.dense, "end");
        }
        if (!(i % Math.ceil(15 / pitch))) drawn += text(left - 6, y + 4, `${i}`, "end");
      });
      const y = top + pitch * thetas.length + 15;
      let [together, before] = ["", -1];
      // Those within a pixel share a bar.
      for (const each of found) {
        if (across(each) < before) continue;
        together += bar(each - 0.5, each + 0.5, y, 4);
        before = across(each) + 1;
      }
      const x = across(distance).toFixed(1);
      const marks = distances.filter((each) => each === last || !(Math.log10(each) % (right - left < 330 ? 3 : 1)));
      return [`${drawn}</g><g stroke-width="18"><path class="bed" d="${bar(1, last, y)}"/><path class="left" d="${together}"/></g>` + dense +
        text(left - 6, y + 4, words.together, "end head") +
        `<path class="here" d="M${x} ${top - 6}V${y - 13}"/>` +
        marks.map((each) => text(across(each), y + 29, written(each))).join("") +
        text((left + right) / 2, y + 47, words.fits), y + 55];
    }
  });
}
