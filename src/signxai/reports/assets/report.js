// Draws the maps of a report, and filters its gallery. Numbers come from the files in data/, each of which calls a function of
// signxaiReport, as a page that is opened from disk may load scripts and nothing else.
"use strict";

const signxaiReport = (() => {
  const root = () => document.body.dataset.root;
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const one = (selector) => document.querySelector(selector);
  const kept = { // what one page tells the next; a browser that forbids it only forgets
    get(key) { try { return sessionStorage.getItem(`signxai-${key}`); } catch { return null; } },
    set(key, value) { try { sessionStorage.setItem(`signxai-${key}`, value); } catch { /* nothing is kept */ } },
  };

  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };

  let meta = null;
  let entries = null;
  const state = { method: 0, own: kept.get("own") === "1", overlay: kept.get("overlay") === "1" };

  // ---- Numbers as text -----------------------------------------------------------------------------------------------------------

  const digits = (value, count = 3) => {
    if (value === null || value === undefined) return "–";
    if (value === 0) return "0";
    const size = Math.abs(value);
    const text = size >= 1e5 || size < 1e-4 ? value.toExponential(count - 1) : String(Number(value.toPrecision(count)));
    return text.replace(/-/g, "−");
  };

  // ---- Files of numbers ----------------------------------------------------------------------------------------------------------

  const awaited = new Map();
  const sheets = new Map();
  const MOST_SHEETS = 80;

  const load = (path) => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `${root()}data/${path}.js`;
    script.onload = () => { script.remove(); resolve(); };
    script.onerror = () => { script.remove(); reject(new Error(`${path} is missing`)); };
    document.head.append(script);
  });

  const inflated = async (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
  };
  const loadedImage = async (uri) => {
    const image = new Image();
    image.src = uri;
    await image.decode();
    return image;
  };
  const summed = (bytes, columns) => { // 16-bit codes of traces, of which the differences are stored, low bytes first
    const count = bytes.length / 2;
    const codes = new Uint16Array(count);
    for (let at = 0; at < count; at += 1) codes[at] = bytes[at] + 256 * bytes[count + at] + (at % columns ? codes[at - 1] : 0);
    return codes;
  };
  const opened = async (content) => {
    if (!content) return null;
    if (content.image) return { image: await loadedImage(content.image), stride: content.stride || 0 };
    if (content.data === undefined) return null;
    const bytes = await inflated(content.data);
    return content.low
      ? { low: content.low, high: content.high, codes: summed(new Uint8Array(bytes), content.columns) }
      : { own: [content.own].flat(), codes: new Int8Array(bytes) };
  };

  const sheet = (name) => {
    if (sheets.has(name)) {
      const found = sheets.get(name);
      sheets.delete(name);
      sheets.set(name, found);
      return found;
    }
    const found = new Promise((resolve, reject) => {
      awaited.set(name, (content) => opened(content).then(resolve, reject));
      load(name).catch(reject);
    });
    found.catch(() => sheets.delete(name));
    sheets.set(name, found);
    if (sheets.size > MOST_SHEETS) sheets.delete(sheets.keys().next().value);
    return found;
  };

  const sheetOf = (place) => { // the number of the sheet that holds a place of the table, by halving
    let low = 0;
    let high = meta.starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (meta.starts[middle] <= place) low = middle; else high = middle;
    }
    return low;
  };
  const padded = (number, width) => String(number).padStart(width, "0");

  // ---- Colours -------------------------------------------------------------------------------------------------------------------

  // Blue speaks against the class, red for it, gray is 0: the colours of all figures (RELEVANCE_COLOURS), at 17 places.
  const STOPS = [[59, 76, 192], [78, 104, 216], [98, 130, 234], [119, 154, 247], [141, 176, 254], [163, 194, 254], [185, 208, 249],
    [204, 217, 237], [221, 220, 220], [236, 211, 197], [245, 196, 172], [247, 176, 147], [244, 152, 122], [235, 125, 98], [221, 95, 75],
    [202, 59, 55], [180, 4, 38]];
  const HALF = 256;
  const COLOURS = Uint8ClampedArray.from({ length: (2 * HALF + 1) * 3 }, (_, at) => {
    const along = Math.floor(at / 3) / (2 * HALF) * (STOPS.length - 1);
    const low = Math.min(STOPS.length - 2, Math.floor(along));
    return STOPS[low][at % 3] + (along - low) * (STOPS[low + 1][at % 3] - STOPS[low][at % 3]);
  });
  const strengths = (own, end) => Float32Array.from({ length: 255 }, (_, at) => { // of each code, in [-1, 1]
    const share = (at - 127) / 127;
    const value = Math.sign(share) * share * share * (own || 0) / (end || 1);
    return Math.max(-1, Math.min(1, value));
  });
  const properties = new Map(); // asked for once, as the browser lays out the page for each question
  const property = (name) => {
    if (!properties.has(name)) properties.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
    return properties.get(name);
  };
  const tinted = (strength) => `rgba(${property(strength > 0 ? "--for" : "--against")}, ${(Math.abs(strength) ** 0.6).toFixed(3)})`;

  // ---- Drawing -------------------------------------------------------------------------------------------------------------------

  const painted = (map, at, rows, columns, end, seeThrough) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [columns, rows];
    const pixels = new ImageData(columns, rows);
    const strength = strengths(map.own[at], end);
    for (let point = 0, from = at * rows * columns; point < rows * columns; point += 1) {
      const value = strength[map.codes[from + point] + 127];
      const colour = Math.round((value + 1) * HALF) * 3;
      for (let channel = 0; channel < 3; channel += 1) pixels.data[point * 4 + channel] = COLOURS[colour + channel];
      pixels.data[point * 4 + 3] = seeThrough ? 255 * Math.min(1, Math.abs(value) ** 0.5) : 255;
    }
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    return canvas;
  };

  const drawPicture = (canvas, [rows, columns], { map, input, at, end }) => {
    [canvas.width, canvas.height] = [columns, rows];
    const context = canvas.getContext("2d");
    const isUnder = map && input && state.overlay;
    if (input && (!map || isUnder)) {
      context.drawImage(input.image, 0, at * input.stride, columns, rows, 0, 0, columns, rows);
      if (isUnder) {
        context.globalCompositeOperation = "saturation"; // gray, without reading pixels
        context.fillStyle = "hsl(0, 0%, 50%)";
        context.fillRect(0, 0, columns, rows);
        context.globalCompositeOperation = "source-over";
      }
    }
    if (map) context.drawImage(painted(map, at, rows, columns, end, isUnder), 0, 0);
  };

  const prepared = (canvas, width, height) => { // a canvas as sharp as the screen
    const ratio = window.devicePixelRatio || 1;
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    return context;
  };

  const ticks = (low, high, most) => {
    const raw = (high - low) / most;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= raw);
    const found = [];
    for (let at = Math.ceil(low / step - 1e-9); at * step <= high + 1e-9 * step; at += 1) found.push(at * step);
    return found;
  };

  const LEVELS = 20;
  const drawTrace = (context, box, { xs, ys, strength }) => {
    if (strength) { // a path for each of 2 x 20 colours, the strongest last, so that no neighbour hides it
      const levels = new Map();
      strength.forEach((value, at) => {
        const level = Math.round(value * LEVELS);
        if (level && !levels.has(level)) levels.set(level, []);
        if (level) levels.get(level).push(at);
      });
      context.lineWidth = box.broad;
      context.lineCap = "round";
      for (const level of [...levels.keys()].sort((a, b) => Math.abs(a) - Math.abs(b))) {
        context.strokeStyle = tinted(level / LEVELS);
        context.beginPath();
        for (const at of levels.get(level)) {
          const [before, after] = [Math.max(0, at - 1), Math.min(xs.length - 1, at + 1)];
          context.moveTo((xs[before] + xs[at]) / 2, (ys[before] + ys[at]) / 2);
          context.lineTo(xs[at], ys[at]);
          context.lineTo((xs[at] + xs[after]) / 2, (ys[at] + ys[after]) / 2);
        }
        context.stroke();
      }
    }
    context.lineWidth = box.thin;
    context.lineCap = "butt";
    context.strokeStyle = box.ink;
    context.beginPath();
    xs.forEach((x, at) => (at ? context.lineTo(x, ys[at]) : context.moveTo(x, ys[at])));
    context.stroke();
  };
  // Of each row of a signal the lowest and highest value that it has room for.
  const amplitudes = (part, input, at, rows, span) => { // span: that of several signals which have one axis
    const own = [input.low, input.high].map((all) => all.slice(at * rows, (at + 1) * rows));
    const spans = own[0].map((low, row) => own[1][row] - low);
    const [lows, highs] = span || own;
    const shown = lows.map((low, row) => highs[row] - low);
    const most = Math.max(...shown);
    const ends = lows.map((low, row) => {
      const [middle, half] = [(low + highs[row]) / 2, (part.shared ? most : shown[row]) / 2];
      return [middle - half, middle + half];
    });
    return { ends, spans };
  };
  const saidOfAmplitudes = (part, input) => {
    if (!input) return "The line is the relevance itself, all channels on one scale.";
    const unit = part.units ? `in ${part.units}` : "as the network takes it, unit unknown";
    const scale = part.shared ? "all channels on one scale, each about its own middle" : "each channel from its lowest to its highest value";
    return `Amplitude: ${unit}${part.leads.length > 1 ? `; ${scale}` : ""}. Colours: one scale for all channels.`;
  };
  const inLines = (context, text, width) => { // as many words in a line as there is room for
    const lines = [];
    for (const word of text.split(" ")) {
      const longer = lines.length ? `${lines[lines.length - 1]} ${word}` : word;
      if (lines.length && context.measureText(longer).width <= width) lines[lines.length - 1] = longer; else lines.push(word);
    }
    return lines;
  };
  const NAMES_WIDTH = 96;
  const writeName = (context, name, middle, room) => {
    const lines = inLines(context, name, NAMES_WIDTH).slice(0, Math.max(1, Math.floor(room / 14)));
    lines.forEach((line, at) => context.fillText(line, 0, middle + 14 * (at - (lines.length - 1) / 2), NAMES_WIDTH));
  };

  // A signal, a row for each channel; without inputs the relevance itself is the line.
  const drawSignal = (canvas, part, [rows, columns], { map, input, at, end, span }, width, height, hasAxes) => {
    const context = prepared(canvas, width, height);
    const [ink, quiet] = [property("--ink"), property("--quiet")];
    context.font = "600 12px system-ui, sans-serif";
    const namesWidth = hasAxes ? Math.min(NAMES_WIDTH, Math.max(...part.leads.map((name) => context.measureText(name).width))) : 0;
    const left = hasAxes ? namesWidth + 64 : 3;
    const [right, below] = hasAxes ? [10, 38] : [3, 2];
    const each = (height - below - (hasAxes ? 6 : 2)) / rows;
    const strength = map && strengths(map.own[at], end);
    const scales = input && amplitudes(part, input, at, rows, span);
    const xs = Float32Array.from({ length: columns }, (_, x) => left + (columns > 1 ? x / (columns - 1) : 0.5) * (width - left - right));
    for (let lead = 0; lead < rows; lead += 1) {
      const top = lead * each + (hasAxes ? 6 : 2) + each * 0.08;
      const room = each * 0.84;
      const trace = at * rows + lead;
      const values = map && Float32Array.from({ length: columns }, (_, x) => strength[map.codes[trace * columns + x] + 127]);
      const ys = Float32Array.from({ length: columns }, (_, x) => {
        if (!input) return top + room * (0.5 - values[x] / 2);
        const [bottom, end] = scales.ends[lead];
        const value = input.low[trace] + (input.codes[trace * columns + x] / 65535) * scales.spans[lead];
        return top + room * (end > bottom ? (end - value) / (end - bottom) : 0.5);
      });
      drawTrace(context, { ink, broad: hasAxes ? 7 : 4, thin: hasAxes ? 1.1 : 0.8 }, { xs, ys, strength: values });
      if (!hasAxes) continue;
      context.textBaseline = "middle";
      context.textAlign = "left";
      context.fillStyle = ink;
      context.font = "600 12px system-ui, sans-serif";
      writeName(context, part.leads[lead], top + room / 2, each);
      context.font = "11px system-ui, sans-serif";
      context.textAlign = "right";
      context.fillStyle = quiet;
      const [low, high] = input ? scales.ends[lead] : [-end, end];
      context.fillText(digits(high, 3), left - 8, top + 4);
      context.fillText(digits(low, 3), left - 8, top + room - 4);
    }
    if (hasAxes) drawTime(context, part, xs, columns, { left, width, height, right, quiet });
  };

  const drawTime = (context, part, xs, columns, { left, width, height, right, quiet }) => {
    const step = part.rate ? 1 / part.rate : part.step;
    const zero = part.rate ? part.zero : 0;
    const [first, last] = [-zero, (columns - 1) * step - zero];
    const base = height - 32;
    context.strokeStyle = context.fillStyle = quiet;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(left, base);
    context.lineTo(width - right, base);
    context.textAlign = "center";
    context.textBaseline = "top";
    const shown = last > first ? ticks(first, last, Math.max(2, Math.min(8, (width - left) / 80))) : [first];
    for (const value of shown.filter((found) => part.rate || Number.isInteger(found))) {
      const x = xs[0] + (last > first ? (value - first) / (last - first) : 0) * (xs[columns - 1] - xs[0]);
      context.moveTo(x, base);
      context.lineTo(x, base + 4);
      context.fillText(digits(value, 4), x, base + 6);
    }
    context.stroke();
    const unit = zero ? `seconds from ${part.event || "the event"}` : "seconds";
    context.fillText(part.rate ? unit : "sample, counted from 0", (left + width - right) / 2, base + 19);
  };

  const drawValues = (canvas, [rows, columns], { map, at, end }, width, height) => {
    const context = prepared(canvas, width, height);
    const strength = strengths(map.own[at], end);
    const each = width / columns;
    for (let column = 0; column < columns; column += 1) {
      const value = strength[map.codes[at * rows * columns + column] + 127];
      context.fillStyle = `rgb(${property(value > 0 ? "--for" : "--against")})`;
      const size = Math.max(0.5, Math.abs(value) * (height / 2 - 2));
      context.fillRect(column * each, value > 0 ? height / 2 - size : height / 2, Math.max(0.6, each - 1), size);
    }
    context.fillStyle = property("--quiet");
    context.fillRect(0, height / 2 - 0.5, width, 1);
  };

  // ---- Thumbnails ----------------------------------------------------------------------------------------------------------------

  const TILE = 80;
  const WIDE = 2 * TILE + 8; // as .thumb in the style sheet
  const tileHeight = (part) => (part.kind === "signal" && part.thumb[0] > 4 ? 1.6 * TILE : part.kind === "values" ? 0.6 * TILE : TILE);

  const tile = (holder, number) => { // the canvas with this number, made if it is not there
    let canvas = holder.querySelectorAll("canvas")[number];
    if (!canvas) {
      canvas = document.createElement("canvas");
      canvas.setAttribute("aria-hidden", "true");
      holder.append(canvas);
    }
    return canvas;
  };

  const sheetsOf = (part, index, method, isMean) => { // of its maps, and of what lies under them
    if (isMean) return [`means-${method}-${index}`, part.kind === "signal" && meta.inputs && `traces-${index}`];
    return [`maps-${method}-${index}`, meta.inputs && part.kind !== "values" && `input-${index}`];
  };
  const drawTiles = async (holder, method, isMean, place) => {
    const number = isMean ? Math.floor(place / meta.sheet) : sheetOf(place);
    const at = isMean ? place - number * meta.sheet : place - meta.starts[number];
    const name = padded(number, 5);
    const wanted = `${method} ${place} ${state.own} ${state.overlay} ${property("--ink")}`;
    if (holder.dataset.drawn === wanted) return;
    holder.dataset.wanted = wanted;
    let canvases = 0;
    for (const [index, part] of meta.parts.entries()) {
      const [map, input] = await Promise.all(sheetsOf(part, index, method, isMean).map((kind) => kind && sheet(`${kind}/${name}`)));
      if (holder.dataset.wanted !== wanted) return;
      holder.dataset.drawn = "";
      const end = state.own || isMean ? map.own[at] : meta.thumbScales[method][index];
      const given = { map, input, at, end };
      if (part.kind === "picture") {
        if (input) canvases = fit(tile(holder, canvases), part, { ...given, map: null }, canvases);
        canvases = fit(tile(holder, canvases), part, given, canvases);
      } else {
        const canvas = tile(holder, canvases);
        canvases += 1;
        if (part.kind === "signal") drawSignal(canvas, part, part.thumb, given, WIDE, tileHeight(part), false);
        else drawValues(canvas, part.thumb, given, WIDE, tileHeight(part));
      }
    }
    holder.dataset.drawn = wanted;
  };
  const fit = (canvas, part, given, number) => {
    drawPicture(canvas, part.thumb, given);
    const scale = TILE / Math.max(...part.thumb);
    canvas.classList.add("pixels");
    Object.assign(canvas.style, { width: `${part.thumb[1] * scale}px`, height: `${part.thumb[0] * scale}px` });
    return number + 1;
  };

  const methodOf = (element) => {
    const fixed = element.closest("[data-fixed-method]");
    const block = element.closest("[data-of-method]");
    return Number(fixed ? fixed.dataset.fixedMethod : block ? block.dataset.ofMethod : state.method);
  };
  const markTurned = (link) => link.classList.toggle("turned", (link.dataset.turned || "").split(" ").includes(String(methodOf(link))));
  const drawThumb = (link) => {
    markTurned(link);
    const holder = link.querySelector(".tiles");
    if (link.dataset.mean !== undefined) return drawTiles(holder, methodOf(link), true, Number(link.dataset.mean));
    return drawTiles(holder, methodOf(link), false, Number(link.dataset.place));
  };

  const seen = new Set();
  const watcher = new IntersectionObserver((changes) => {
    for (const change of changes) {
      if (change.isIntersecting) { seen.add(change.target); drawThumb(change.target); } else seen.delete(change.target);
    }
  }, { rootMargin: "200px" });
  const withTiles = (link) => {
    const tiles = document.createElement("span");
    tiles.className = "tiles";
    tiles.style.minHeight = `${meta.parts.reduce((sum, part) => sum + tileHeight(part), 0)}px`;
    link.prepend(tiles);
    return link;
  };
  const watchThumbs = () => all("a.thumb[data-place], a.mean[data-mean]").forEach((link) => watcher.observe(withTiles(link)));

  // ---- Figures -------------------------------------------------------------------------------------------------------------------

  let figures = [];

  const bar = (end, isSignal, method, isTurned, ofSome) => {
    const holder = document.createElement("div");
    holder.className = "scale";
    const strip = document.createElement("div");
    strip.className = "strip";
    const paper = property("--paper");
    const stops = isSignal ? [-1, -0.5, -0.1, 0, 0.1, 0.5, 1].map((at) => `${tinted(at || 1e-9)} ${(at + 1) * 50}%`) : STOPS.map((stop) => `rgb(${stop})`);
    strip.style.background = `linear-gradient(to right, ${stops.join(", ")}) ${isSignal ? paper : ""}`;
    const numbers = document.createElement("div");
    numbers.className = "ends";
    for (const share of [-1, -0.5, 0, 0.5, 1]) numbers.append(Object.assign(document.createElement("span"), { textContent: digits(share * end, 2) }));
    const words = document.createElement("div");
    words.className = "ends words";
    const [below, above] = (isTurned ? meta.turnedSides : meta.sides)[method];
    for (const text of [`← ${below}`, `${above} →`]) words.append(Object.assign(document.createElement("span"), { textContent: text }));
    holder.append(strip, numbers, words);
    if (ofSome) holder.append(element("div", { className: "ends words" }, "the other way round where signs are turned"));
    return holder;
  };

  const drawFigure = (figure) => {
    const isCompared = document.body.dataset.page === "clusters"; // four stand side by side
    const part = meta.parts[figure.part];
    const holder = figure.holder;
    const end = figure.map && (state.own || figure.mean ? figure.end || figure.map.own[0] || 1 : meta.scales[figure.method][figure.part]);
    const given = { map: figure.map, input: figure.input, at: 0, end, span: figure.span };
    const canvas = document.createElement("canvas");
    if (part.kind === "picture") {
      drawPicture(canvas, part.shape, given);
      const size = Math.max(...part.shape);
      const scale = Math.max(1, Math.floor((isCompared ? 180 : 300) / size));
      canvas.classList.add("pixels");
      canvas.style.width = `${part.shape[1] * scale}px`;
    } else {
      const width = Math.max(240, Math.min(1100, holder.clientWidth || 600));
      const each = part.shape[0] > 6 ? 60 : part.shape[0] > 2 ? 90 : 130;
      drawSignal(canvas, part, part.shape, given, width, part.shape[0] * each + 44, true);
    }
    holder.replaceChildren(canvas);
    if (figure.map) holder.append(bar(end, part.kind === "signal", figure.method, figure.turned, figure.mean && (figure.ofSome ?? meta.turned[figure.method] > 0)));
    if (figure.note) holder.append(element("p", { className: "note" }, figure.note));
  };

  const openFigures = async () => {
    const element = one("#payload");
    if (!element) { document.body.dataset.drawn = "1"; return; }
    const payload = JSON.parse(element.textContent);
    const inputs = await Promise.all(payload.inputs.map(opened));
    figures = await Promise.all(payload.figures.map(async (figure, number) => ({
      ...figure,
      holder: one(`[data-figure="${number}"]`),
      map: await opened(figure.map),
      input: inputs[figure.input] || null,
    })));
    const said = new Set(); // once on a page
    for (const figure of figures.filter((one) => meta.parts[one.part].kind === "signal")) {
      const note = saidOfAmplitudes(meta.parts[figure.part], figure.input);
      if (!said.has(note)) figure.note = note;
      said.add(note);
    }
    figures.forEach(drawFigure);
    if (payload.points) scatter(payload.points);
    document.body.dataset.drawn = "1";
  };

  // ---- Clusters ------------------------------------------------------------------------------------------------------------------

  const GROUPS = ["#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00", "#cc79a7"]; // Okabe and Ito (2008), told apart by the colour-blind; grey is in none;
  const groupColour = (points, group) => (points.none.includes(group) ? property("--none") : GROUPS[group % GROUPS.length]);
  const MARKS = [[], [[-1, -1], [1, -1], [1, 1], [-1, 1]], [[0, -1.4], [1.3, 1], [-1.3, 1]], [[0, -1.5], [1.5, 0], [0, 1.5], [-1.5, 0]]]; // a circle has no corners
  const markOf = (points, group) => (points.none.includes(group) ? [] : MARKS[Math.floor(group / GROUPS.length) % MARKS.length]); // another where colours are used up
  const cutOf = (corners) => (corners.length ? `polygon(${corners.map(([x, y]) => `${50 + 33 * x}% ${50 + 33 * y}%`).join(", ")})` : "circle(50%)");

  let redrawScatter = () => {};
  const scatter = (points) => {
    const canvas = one("#scatter");
    const said = one("#pointed");
    const margin = 10;
    let size = [0, 0];
    const at = (index) => [margin + points.x[index] * (size[0] - 2 * margin), margin + (1 - points.y[index]) * (size[1] - 2 * margin)];
    redrawScatter = () => {
      const width = Math.min(760, canvas.parentElement.clientWidth);
      size = [width, Math.round(width * 0.62)];
      const context = prepared(canvas, ...size);
      const radius = points.x.length > 2000 ? 2.2 : 4;
      points.x.forEach((_, index) => {
        context.fillStyle = groupColour(points, points.groups[index]);
        const [left, top] = at(index);
        context.beginPath();
        const corners = markOf(points, points.groups[index]);
        corners.forEach(([x, y], number) => (number ? context.lineTo(left + radius * x, top + radius * y) : context.moveTo(left + radius * x, top + radius * y)));
        if (!corners.length) context.arc(left, top, radius, 0, 2 * Math.PI);
        context.fill();
      });
      all("[data-swatch]").forEach((swatch) => {
        const group = Number(swatch.dataset.swatch);
        swatch.style.background = groupColour(points, group);
        swatch.style.borderRadius = "0";
        swatch.style.clipPath = cutOf(markOf(points, group));
      });
    };
    const nearest = (event) => {
      let [found, least] = [-1, 14 ** 2];
      points.x.forEach((_, index) => {
        const [x, y] = at(index);
        const distance = (x - event.offsetX) ** 2 + (y - event.offsetY) ** 2;
        if (distance < least) [found, least] = [index, distance];
      });
      return found;
    };
    canvas.addEventListener("mousemove", (event) => {
      const found = nearest(event);
      said.textContent = found < 0 ? "" : `${points.keys[found]}: ${points.names[points.groups[found]]}`;
      canvas.style.cursor = found < 0 ? "default" : "pointer";
    });
    canvas.addEventListener("click", (event) => {
      const found = nearest(event);
      if (found >= 0) location.href = `${root()}entries/${padded(points.rows[found], 6)}.html`;
    });
    redrawScatter();
  };

  // ---- Print -----------------------------------------------------------------------------------------------------------------------

  const PRINTED = 480; // thumbnails at most
  let rounds = 0;
  const idle = () => new Promise((resolve) => { (window.requestIdleCallback || ((call) => setTimeout(call, 20)))(resolve); });
  // What a print shows has to be there before it is asked for, as the browser does not wait: steps are done one by one while nothing else is.
  const ahead = async (steps) => {
    rounds += 1;
    const round = rounds;
    delete document.body.dataset.printable;
    for (const step of steps) {
      await idle();
      if (round !== rounds) return;
      await step();
    }
    document.body.dataset.printable = "1";
  };
  const thumbs = () => all("a.thumb[data-place], a.mean[data-mean]").filter((link) => link.querySelector(".tiles") && !link.closest("[hidden]")).slice(0, PRINTED);
  const drawAhead = () => {
    if (document.body.dataset.page === "gallery") return gallery.loadAhead();
    return ahead(thumbs().map((link) => () => drawThumb(link)));
  };
  const printing = (is) => {
    document.documentElement.classList.toggle("printing", is); // light, as paper is
    properties.clear();
    if (document.body.dataset.page === "gallery") gallery.print(is);
    apply();
    figures.forEach(drawFigure);
    redrawScatter();
    return Promise.all(thumbs().map(drawThumb));
  };
  const print = async () => {
    await printing(true);
    window.print();
  };

  // ---- Filters -------------------------------------------------------------------------------------------------------------------

  const FILTERS = ["target", "label", "predicted", "right", "group", "cluster", "text", "sort", "down"];
  const hash = () => new URLSearchParams(location.hash.slice(1));

  const needEntries = async () => { if (!entries) await load("entries"); };

  const condition = (filters) => {
    const tests = [];
    for (const name of ["target", "predicted", "right"]) {
      if (filters.get(name) && entries[name]) { const value = Number(filters.get(name)); tests.push((place) => entries[name][place] === value); }
    }
    for (const name of ["label", "group"]) {
      if (filters.get(name) && entries[name]) {
        const value = entries[name].names.indexOf(filters.get(name));
        tests.push((place) => entries[name].of[place] === value);
      }
    }
    if (filters.get("text")) { const text = filters.get("text").toLowerCase(); tests.push((place) => entries.keys[place].toLowerCase().includes(text)); }
    if (filters.get("cluster")) {
      const [page, number] = filters.get("cluster").split(":");
      const found = entries.clusters[page] || { places: [], ids: [] };
      const members = new Set(found.places.filter((_, index) => found.ids[index] === Number(number)));
      tests.push((place) => members.has(place));
    }
    return (place) => tests.every((test) => test(place));
  };

  const sortValues = (name) => {
    if (name === "key") return entries.keys;
    if (name === "logit") return entries.logit;
    const ofMethod = ["absorbed", "typicality", "sum"].includes(name) ? entries[name][state.method] : null;
    return ofMethod && name === "sum" ? ofMethod.map((value) => (value === null ? null : Math.abs(value))) : ofMethod;
  };

  const chosen = (filters) => { // places in the order that is asked for; those without a number come last
    const places = entries.rows.map((_, place) => place).filter(condition(filters));
    const values = sortValues(filters.get("sort"));
    const sign = filters.get("down") ? -1 : 1;
    if (!values) return sign < 0 ? places.reverse() : places;
    const compare = new Intl.Collator(undefined, { numeric: true }).compare;
    const order = (a, b) => (typeof a === "string" ? compare(a, b) : a - b);
    return places.sort((a, b) => {
      if (values[a] === null || values[b] === null) return (values[a] === null) - (values[b] === null);
      return sign * order(values[a], values[b]) || a - b;
    });
  };

  const withMethod = (filters) => {
    const found = new URLSearchParams([...filters].filter(([name, value]) => FILTERS.includes(name) && value));
    if (state.method && [...found].length) found.set("method", state.method);
    return found.toString();
  };

  // ---- Gallery -------------------------------------------------------------------------------------------------------------------

  const gallery = (() => {
    let places = [];
    let columns = 1;
    const cells = new Map();
    const CELL_WIDTH = WIDE + 24;
    let cellHeight = 0;
    let current = 0;
    let isPrinted = false;

    const fill = (select, options) => {
      select.replaceChildren(new Option("any", ""), ...options.map(([value, text]) => new Option(text, value)));
    };
    const classes = (column) => [...new Set(column)].sort((a, b) => a - b).map((number) => [number, entries.classes[number]]);
    const fillFilters = () => {
      const form = one("#filters");
      fill(form.target, classes(entries.target));
      if (entries.predicted) fill(form.predicted, classes(entries.predicted));
      for (const name of ["label", "group"]) if (entries[name]) fill(form[name], entries[name].names.filter(Boolean).map((word) => [word, word]));
      fill(form.cluster, Object.entries(entries.clusters).flatMap(([page, found]) => [...new Set(found.ids)].sort((a, b) => a - b).map((number) => {
        const [method, target] = page.split("-");
        return [`${page}:${number}`, `${entries.classes[target]}, ${meta.methods[method]}: ${number < 0 ? "none" : number}`];
      })));
      const has = { predicted: entries.predicted, label: entries.label, right: entries.right, group: entries.group, clusters: Object.keys(entries.clusters).length };
      all("[data-needs]").forEach((label) => { label.hidden = !has[label.dataset.needs]; });
      for (const option of form.sort.options) {
        if (["absorbed", "typicality", "sum"].includes(option.value)) option.disabled = entries[option.value].every((column) => !column);
      }
    };

    const show = () => {
      const filters = hash();
      for (const name of FILTERS) {
        const control = one("#filters")[name];
        if (control.type === "checkbox") control.checked = Boolean(filters.get(name));
        else if (control !== document.activeElement || control.type !== "search") control.value = filters.get(name) || "";
      }
      places = chosen(filters);
      current = 0;
      one("#count").textContent = places.length === entries.rows.length ? `${places.length} entries` : `${places.length} of ${entries.rows.length} entries`;
      one("#nothing").hidden = places.length > 0;
      clear();
      layOut();
      loadAhead();
    };
    const loadAhead = () => {
      const most = Math.floor((0.75 * MOST_SHEETS) / (2 * meta.parts.length));
      const numbers = [...new Set(places.slice(0, PRINTED).map(sheetOf))].slice(0, most);
      const kinds = meta.parts.flatMap((part, index) => sheetsOf(part, index, state.method, false)).filter(Boolean);
      return ahead(numbers.map((number) => () => Promise.all(kinds.map((kind) => sheet(`${kind}/${padded(number, 5)}`)))));
    };
    const print = (is) => {
      isPrinted = is;
      one("#printed").textContent = places.length > PRINTED ? `The first ${PRINTED} of ${places.length} entries; filters choose others.` : "";
      render();
    };
    const clear = () => {
      for (const cell of cells.values()) { watcher.unobserve(cell); seen.delete(cell); cell.remove(); }
      cells.clear();
    };

    const layOut = () => {
      const grid = one("#grid");
      cellHeight = meta.parts.reduce((sum, part) => sum + tileHeight(part), 0) + (entries.turned ? 80 : 62);
      columns = Math.max(1, Math.floor(grid.clientWidth / CELL_WIDTH));
      grid.style.height = `${Math.ceil(places.length / columns) * cellHeight}px`;
      render();
    };

    const render = () => { // only what is near the window is in the page
      const top = one("#grid").getBoundingClientRect().top;
      const first = isPrinted ? 0 : Math.max(0, Math.floor((-top - 300) / cellHeight)) * columns;
      const end = isPrinted ? PRINTED : Math.max(0, Math.ceil((window.innerHeight - top + 300) / cellHeight)) * columns;
      const last = Math.min(places.length, end);
      for (const [index, cell] of cells) {
        if ((index < first || index >= last) && cell !== document.activeElement) {
          watcher.unobserve(cell);
          seen.delete(cell);
          cell.remove();
          cells.delete(index);
        }
      }
      const fresh = [];
      for (let index = first; index < last; index += 1) if (!cells.has(index)) fresh.push(made(index));
      one("#grid").append(...fresh);
      for (const cell of fresh) watcher.observe(cell);
      for (const [index, cell] of cells) lay(cell, index);
      if (isPrinted) one("#grid").append(...[...cells].sort(([a], [b]) => a - b).map(([, cell]) => cell));
    };
    const lay = (cell, index) => {
      Object.assign(cell.style, { left: `${(index % columns) * CELL_WIDTH}px`, top: `${Math.floor(index / columns) * cellHeight}px` });
      cell.tabIndex = index === current ? 0 : -1;
    };

    const made = (index) => {
      const place = places[index];
      const cell = document.createElement("a");
      const filters = withMethod(hash());
      cell.className = "thumb cell";
      cell.href = `${root()}entries/${padded(entries.rows[place], 6)}.html${filters && `#${filters}`}`;
      cell.dataset.place = place;
      if (entries.turned) cell.dataset.turned = entries.turned[place].join(" ");
      cell.style.height = `${cellHeight - 12}px`;
      const key = Object.assign(document.createElement("span"), { className: "key", textContent: entries.keys[place], title: entries.folder + entries.keys[place] });
      const line = Object.assign(document.createElement("span"), { className: "line" });
      line.textContent = words(place);
      line.title = line.textContent;
      if (entries.right && entries.right[place] === 0) line.classList.add("bad");
      cell.append(key, line);
      cell.addEventListener("focus", () => { current = index; });
      cells.set(index, cell);
      return withTiles(cell);
    };
    const words = (place) => {
      const label = entries.label && entries.label.names[entries.label.of[place]];
      if (!entries.predicted) return label ? `label ${label}` : "";
      const predicted = entries.classes[entries.predicted[place]];
      const target = entries.target[place] === entries.predicted[place] ? "" : `, explained class ${entries.classes[entries.target[place]]}`;
      return `predicted ${predicted}${label && label !== predicted ? `, label ${label}` : ""}${target}`;
    };

    const put = (filters, isTyping) => {
      const text = withMethod(filters);
      if (isTyping) location.replace(`#${text}`); else location.hash = text;
    };
    const read = () => new URLSearchParams([...new FormData(one("#filters"))].filter(([, value]) => value));

    const move = (by) => {
      current = Math.max(0, Math.min(places.length - 1, current + by));
      const row = Math.floor(current / columns);
      const top = one("#grid").getBoundingClientRect().top + row * cellHeight;
      if (top < 0) window.scrollBy(0, top - 8);
      else if (top + cellHeight > window.innerHeight) window.scrollBy(0, top + cellHeight - window.innerHeight + 8);
      render();
      if (cells.has(current)) cells.get(current).focus({ preventScroll: true });
    };
    const onKey = (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -places.length, End: places.length }[event.key];
      if (by === undefined || !event.target.closest("#grid")) return;
      event.preventDefault();
      move(by);
    };

    const start = async () => {
      await needEntries();
      fillFilters();
      one("#filters").addEventListener("input", (event) => put(read(), event.target.name === "text"));
      one("#filters").addEventListener("submit", (event) => event.preventDefault());
      one("#filters").addEventListener("reset", (event) => { event.preventDefault(); put(new URLSearchParams()); });
      one("#clear").addEventListener("click", () => put(new URLSearchParams()));
      one("#grid").addEventListener("keydown", onKey);
      window.addEventListener("hashchange", () => { show(); window.scrollTo(0, 0); });
      window.addEventListener("scroll", () => requestAnimationFrame(render), { passive: true });
      window.addEventListener("resize", () => layOut());
      window.addEventListener("pagehide", () => kept.set("scroll", `${location.hash} ${window.scrollY}`));
      show();
      const [filters, top] = (kept.get("scroll") || "").split(" ");
      if (filters === location.hash && top) window.scrollTo(0, Number(top));
      render();
      document.body.dataset.drawn = "1";
    };
    return { start, show, print, loadAhead };
  })();

  // ---- The page of an entry ------------------------------------------------------------------------------------------------------

  const steps = async () => {
    const { place } = JSON.parse(one("#payload").textContent);
    one("#position").textContent = `entry ${place + 1} of ${meta.count}, from 1`;
    const filters = hash();
    if (![...filters].some(([name]) => FILTERS.includes(name))) return;
    await needEntries();
    const places = chosen(filters);
    const at = places.indexOf(place);
    all('[data-go="gallery"]').forEach((link) => { link.href = `${root()}gallery.html#${withMethod(filters)}`; });
    if (at < 0) return;
    one("#position").textContent = `${at + 1} of ${places.length} in the gallery's filter`;
    for (const [name, other] of [["prev", places[at - 1]], ["next", places[at + 1]]]) {
      const link = one(`.steps [data-go="${name}"]`);
      if (other === undefined) { link.removeAttribute("href"); link.setAttribute("aria-disabled", "true"); } else {
        link.href = `${padded(entries.rows[other], 6)}.html#${withMethod(filters)}`;
        link.removeAttribute("aria-disabled");
      }
    }
  };

  // ---- What pages have in common -------------------------------------------------------------------------------------------------

  const KEYS = [
    ["← →", "the entry before and after, as the gallery is filtered; in the gallery, the thumbnail beside"],
    ["m", "next method"],
    ["s", "one scale for all maps of a method, or one for each map"],
    ["i", "maps of pictures over the input, or alone"],
    ["g", "gallery"],
    ["o", "overview"],
    ["/", "in the gallery: search"],
    ["Ctrl p", "print, with all thumbnails of the page (of the gallery, the first 480)"],
    ["?", "this list"],
  ];
  const dress = () => { // controls and the list of keys, which are of no use without this script
    const method = element("select", { id: "method" }, ...meta.methods.map((name, number) => new Option(name, number)));
    const box = (id, text) => element("label", {}, element("input", { type: "checkbox", id }), ` ${text}`);
    const chooser = element("label", {}, "Method ", method);
    chooser.hidden = document.body.dataset.page === "clusters"; // its maps are of one method
    const choices = element("div", { className: "choices" }, chooser, box("own", "each map on its own scale"));
    if (meta.inputs && meta.parts.some((part) => part.kind === "picture")) choices.append(box("overlay", "over the input"));
    choices.append(element("button", { type: "button", id: "help" }, "Keys ", element("kbd", {}, "?")));
    one("header").append(choices);
    const list = element("dl", {}, ...KEYS.flatMap(([key, text]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, text)]));
    const dialog = element("dialog", { id: "keys" }, element("h2", {}, "Keys"), list, element("form", { method: "dialog" }, element("button", {}, "Close")));
    dialog.setAttribute("aria-label", "Keys");
    const live = element("div", { id: "live", className: "unseen" });
    live.setAttribute("role", "status");
    document.body.append(dialog, live);
  };

  // ---- Choices, keys, tables -----------------------------------------------------------------------------------------------------

  const say = (text) => { one("#live").textContent = text; };
  const scaleNote = () => {
    const note = one("#scale-note");
    if (!note) return;
    note.textContent = state.own
      ? `${meta.colours} Each map is on its own scale, which ends at its largest value.`
      : `${meta.colours} ${meta.parts.length > 1 ? "Of each input all" : "All"} maps of a method, with all their channels, are on one scale, which ends at the 99th percentile of |relevance| over all entries.`;
  };
  const legends = () => all(".legend").forEach((legend) => { // the scale of thumbnails; each map on its own has none that holds for all
    const method = methodOf(legend);
    legend.hidden = state.own;
    legend.replaceChildren(...meta.parts.map((part, index) => {
      const scale = bar(meta.thumbScales[method][index], part.kind !== "picture", method, false, meta.turned[method] > 0);
      if (part.name) scale.prepend(part.name);
      return scale;
    }));
  });
  const apply = () => {
    if (one("#method")) one("#method").value = String(state.method);
    one("#own").checked = state.own;
    if (one("#overlay")) one("#overlay").checked = state.overlay;
    all("[data-of-method]").forEach((block) => { block.hidden = !block.closest(".always") && Number(block.dataset.ofMethod) !== state.method; });
    all(".method[data-method]").forEach((block) => block.classList.toggle("chosen", Number(block.dataset.method) === state.method));
    scaleNote();
    legends();
  };
  const redraw = () => {
    apply();
    seen.forEach(drawThumb);
    figures.forEach(drawFigure);
    redrawScatter();
    drawAhead();
  };
  const choose = (change) => {
    Object.assign(state, change);
    kept.set("method", state.method);
    kept.set("own", state.own ? "1" : "0");
    kept.set("overlay", state.overlay ? "1" : "0");
    redraw();
    if (!("method" in change)) return;
    if ([...hash()].some(([name]) => FILTERS.includes(name))) location.replace(`#${withMethod(hash())}`);
    if (document.body.dataset.page === "gallery" && entries) gallery.show();
  };
  const nextMethod = () => {
    choose({ method: (state.method + 1) % meta.methods.length });
    say(`method ${meta.methods[state.method]}`);
    const block = one(`.method[data-method="${state.method}"]`);
    if (block) block.scrollIntoView({ block: "nearest" });
  };
  const go = (name) => { const link = one(`.steps [data-go="${name}"]`) || one(`[data-go="${name}"]`); if (link && link.href) location.href = link.href; };

  const onKey = (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "p") {
      event.preventDefault();
      print();
      return;
    }
    const typing = event.target.closest("select, input:not([type=checkbox])");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || one("#keys").open) return;
    const isEntry = document.body.dataset.page === "entry";
    const done = {
      m: nextMethod,
      s: () => choose({ own: !state.own }),
      i: () => one("#overlay") && choose({ overlay: !state.overlay }),
      g: () => go("gallery"),
      o: () => go("overview"),
      "?": () => one("#keys").showModal(),
      "/": () => one("#filters") && one("#filters").text.focus(),
      ArrowLeft: isEntry && (() => go("prev")),
      ArrowRight: isEntry && (() => go("next")),
    }[event.key];
    if (!done) return;
    event.preventDefault();
    done();
  };

  const sortable = (table) => all("th[data-sort]", table).forEach((head) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: head.textContent });
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      all("th[data-sort]", table).forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const column = [...head.parentElement.children].indexOf(head);
      const value = (row) => row.children[column].dataset.value ?? row.children[column].textContent;
      const number = (row) => (Number.isNaN(parseFloat(value(row))) ? -Infinity : parseFloat(value(row)));
      const compare = head.dataset.sort === "number" ? (a, b) => number(a) - number(b) : (a, b) => value(a).localeCompare(value(b), undefined, { numeric: true });
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort((a, b) => (down ? -compare(a, b) : compare(a, b))));
    });
  });

  const startMethod = () => {
    const asked = Number(hash().get("method") ?? kept.get("method"));
    state.method = Number.isInteger(asked) && asked >= 0 && asked < meta.methods.length ? asked : 0;
  };

  const start = () => {
    dress();
    if (!window.DecompressionStream) {
      const text = "This browser is too old to draw maps: Chromium 80, Firefox 113 and Safari 16.4 and later do.";
      one("main").prepend(element("p", { className: "warning" }, text));
    }
    startMethod();
    apply();
    document.addEventListener("keydown", onKey);
    one("#method").addEventListener("change", (event) => choose({ method: Number(event.target.value) }));
    one("#own").addEventListener("change", (event) => choose({ own: event.target.checked }));
    if (one("#overlay")) one("#overlay").addEventListener("change", (event) => choose({ overlay: event.target.checked }));
    one("#help").addEventListener("click", () => one("#keys").showModal());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { properties.clear(); redraw(); });
    window.addEventListener("resize", () => { figures.forEach(drawFigure); redrawScatter(); });
    window.addEventListener("beforeprint", () => printing(true));
    window.addEventListener("afterprint", () => printing(false));
    all("table.sortable").forEach(sortable);
    if (document.body.dataset.page === "gallery") { gallery.start(); return; }
    watchThumbs();
    drawAhead();
    if (document.body.dataset.page === "entry") {
      steps();
      window.addEventListener("hashchange", steps);
    }
    openFigures();
  };
  document.addEventListener("DOMContentLoaded", start);

  return {
    meta(content) { meta = content; },
    entries(content) { entries = content; },
    sheet(content) { awaited.get(content.name)(content); awaited.delete(content.name); },
  };
})();
