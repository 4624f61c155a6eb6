'use strict';
// The matrix of a run. All numbers and names come from the page's data; names are only ever set as text.
const $ = (id) => document.getElementById(id);
const run = JSON.parse($('data').textContent);
const S = run.sources.index.length, T = run.targets.index.length;
const MARGIN = { left: 46, top: 46, strip: 8 }; // of the canvas, in CSS pixels
const MODES = ['#009E73', '#E69F00', '#CC79A7', '#56B4E9', '#8c8c8c', '#882255', '#DDCC77', '#332288']; // of the figures
const WITHIN = 1, BEYOND = 0; // of a cell: whether it lies within the noise

// What is shown; the address holds all of it.
const view = { step: run.steps.length - 1, alpha: 0, sort: 'mode', faint: true, zoom: 1, x: 0, y: 0, cell: null, rows: [] };
let layer = null; // tables of the checkpoint and step size that are shown
let order = null; // {rows, columns}: the task at each place; {row, column}: the place of each task

// ---- Numbers out of the page -------------------------------------------------------------------------------------------------

function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let k = 0; k < raw.length; k++) bytes[k] = raw.charCodeAt(k);
  return bytes;
}

const HALF = new Float32Array(65536); // the value of each float16
for (let k = 0; k < 65536; k++) {
  const exponent = (k >> 10) & 31, rest = k & 1023, sign = k >> 15 ? -1 : 1;
  HALF[k] = sign * (exponent === 0 ? rest * 2 ** -24 : exponent < 31 ? (1 + rest / 1024) * 2 ** (exponent - 15) : rest ? NaN : Infinity);
}

async function table(name) {
  const element = $(name);
  if (!element) return null;
  const packed = new Blob([bytesOf(element.textContent)]).stream().pipeThrough(new DecompressionStream('deflate'));
  const planes = new Uint8Array(await new Response(packed).arrayBuffer()), n = S * T;
  if (planes.length === n) return planes;
  const numbers = new Float32Array(n);
  if (planes.length === 2 * n) {
    for (let k = 0; k < n; k++) numbers[k] = HALF[planes[k] | (planes[n + k] << 8)];
  } else {
    const bytes = new Uint8Array(numbers.buffer); // of a float32, the lowest first
    for (let b = 0; b < 4; b++) for (let k = 0; k < n; k++) bytes[4 * k + b] = planes[b * n + k];
  }
  return numbers;
}

const loaded = new Map(); // layers, the latest few

async function load() {
  const about = run.layers.find((one) => one.step === run.steps[view.step] && one.alpha === run.alphas[view.alpha]);
  if (!loaded.has(about.name)) {
    const found = { about };
    // The checkpoint's name, a dash and the step size are part of the name of each of its tables.
    for (const name of ['log', 'mean', 'verdict', 'status', 'n_positive', 'n_negative', 'n_known', 'low', 'high', 'q', 'first_order']) {
      found[name] = await table(`${name}-${about.name}`);
    }
    found.shown = found.mean || found.log;
    found.within = withinNoise(found);
    found.anyWithin = found.within.includes(WITHIN);
    if (loaded.size > 3) loaded.delete(loaded.keys().next().value);
    loaded.set(about.name, found);
  }
  layer = loaded.get(about.name);
}

// Return for each cell whether it lies within the noise: by replicates where there are, else by the control of its mode pair.
function withinNoise({ about, shown, verdict }) {
  const within = new Uint8Array(S * T), { mode } = run.targets;
  if (verdict) return within.map((_, k) => (verdict[k] === 0 ? WITHIN : BEYOND));
  const low = new Float32Array(T), high = new Float32Array(T); // NaN where no band is known
  let of = -1;
  for (let i = 0; i < S; i++) {
    const bands = about.noise[run.sources.mode[i]];
    if (bands.every((band) => !band)) continue;
    if (of !== run.sources.mode[i]) for (let j = 0; j < T; j++) [low[j], high[j]] = (bands[mode[j]] || [NaN, NaN]).map(Math.log);
    of = run.sources.mode[i];
    for (let j = 0, k = i * T; j < T; j++, k++) if (shown[k] >= low[j] && shown[k] <= high[j]) within[k] = WITHIN;
  }
  return within;
}

// ---- Order -------------------------------------------------------------------------------------------------------------------

function arrange() {
  const all = (n) => Int32Array.from({ length: n }, (_, k) => k);
  let rows = all(S), columns = all(T);
  if (view.sort === 'cluster') [rows, columns] = [Int32Array.from(run.clusters.sources), Int32Array.from(run.clusters.targets)];
  if (view.sort === 'mean') {
    const means = Float64Array.from(rows, (i) => mean(layer.shown.subarray(i * T, i * T + T)));
    rows.sort((a, b) => (isNaN(means[a]) - isNaN(means[b])) || means[a] - means[b] || a - b);
  }
  order = { rows, columns, row: new Int32Array(S), column: new Int32Array(T) };
  rows.forEach((task, place) => { order.row[task] = place; });
  columns.forEach((task, place) => { order.column[task] = place; });
}

function mean(values) {
  let sum = 0, n = 0;
  for (const value of values) if (value === value) { sum += value; n++; }
  return n ? sum / n : NaN;
}

// ---- Drawing -----------------------------------------------------------------------------------------------------------------

const stage = $('stage'), cells = $('cells'), marks = $('marks');
let size = { w: 0, h: 0, ratio: 1 }; // of the matrix without its margins, in CSS pixels; and device pixels in one of these

function measureStage() {
  const w = stage.clientWidth, ratio = Math.min(window.devicePixelRatio || 1, 2);
  const h = Math.round(Math.min(w, Math.max(300, window.innerHeight * 0.72)));
  stage.style.height = `${h}px`;
  for (const canvas of [cells, marks]) [canvas.width, canvas.height] = [w * ratio, h * ratio];
  size = { w: w - MARGIN.left, h: h - MARGIN.top, ratio };
  Object.assign($('margin').style, { width: `${MARGIN.left}px`, top: `${MARGIN.top}px` });
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const mix = (a, b, share) => a.map((value, k) => value + (b[k] - value) * share);
let palette = null; // {strong, faint}: 513 colours from the most positive to the most negative

function choosePalette() {
  const [positive, negative, middle, grey] = ['positive', 'negative', 'middle', 'grey'].map((name) => rgb(colour(name)));
  const scale = (towards) => Array.from({ length: 513 }, (_, k) => towards(mix(middle, k < 256 ? positive : negative, Math.abs(k - 256) / 256), k));
  palette = {
    strong: scale((shade) => shade),
    faint: scale((shade) => mix(mix(middle, shade, 0.3), grey, 0.3)),
    failed: rgb(colour('failed')),
  };
}

const atColumn = (px) => (view.x + px / size.w / view.zoom) * T; // the place under a CSS pixel of the matrix
const atRow = (py) => (view.y + py / size.h / view.zoom) * S;
const pxOf = (column) => (column / T - view.x) * size.w * view.zoom;
const pyOf = (row) => (row / S - view.y) * size.h * view.zoom;

// For each device pixel of a side, the first place that it shows, and one more entry for the end.
function edges(pixels, at, n) {
  return Int32Array.from({ length: pixels + 1 }, (_, p) => Math.min(n, Math.max(0, Math.floor(at(p / size.ratio) + 1e-9))));
}

function draw() {
  if (!layer || size.w < 20) return;
  const began = performance.now(), { ratio } = size;
  const w = Math.floor(size.w * ratio), h = Math.floor(size.h * ratio), context = cells.getContext('2d');
  const image = context.createImageData(w, h), pixels = new Uint32Array(image.data.buffer);
  const xs = edges(w, atColumn, T), ys = edges(h, atRow, S), { shown, within, about } = layer;
  const sums = new Float64Array(w), counts = new Int32Array(w), faint = new Int32Array(w), failed = new Int32Array(w);
  let before = -1;
  for (let y = 0; y < h; y++) {
    const top = ys[y], bottom = Math.max(ys[y + 1], top + 1);
    if (top === before && bottom === top + 1) { pixels.copyWithin(y * w, (y - 1) * w, y * w); continue; } // the same row again
    before = bottom === top + 1 ? top : -1;
    [sums, counts, faint, failed].forEach((one) => one.fill(0));
    for (let row = top; row < bottom && row < S; row++) {
      const start = order.rows[row] * T;
      for (let x = 0; x < w; x++) {
        const end = Math.max(xs[x + 1], xs[x] + 1);
        for (let column = xs[x]; column < end && column < T; column++) {
          const k = start + order.columns[column], value = shown[k];
          if (value !== value) failed[x]++;
          else { sums[x] += value; counts[x]++; faint[x] += within[k]; }
        }
      }
    }
    for (let x = 0; x < w; x++) pixels[y * w + x] = shade(sums[x], counts[x], faint[x], failed[x], about.span);
  }
  context.clearRect(0, 0, cells.width, cells.height);
  context.putImageData(image, MARGIN.left * ratio, MARGIN.top * ratio);
  drawMargins(context);
  drawMarks();
  document.documentElement.dataset.drawn = (performance.now() - began).toFixed(1);
}

// The colour of a pixel that shows the mean of some cells: greyed as many of them are, yellow as many as have no ratio.
function shade(sum, n, faint, failed, span) {
  let found = palette.failed;
  if (n) {
    const k = 256 + Math.round(256 * Math.max(-1, Math.min(1, sum / n / span)));
    const share = view.faint ? faint / n : 0;
    found = share === 0 ? palette.strong[k] : share === 1 ? palette.faint[k] : mix(palette.strong[k], palette.faint[k], share);
    if (failed) found = mix(found, palette.failed, failed / (n + failed));
  }
  return 0xff000000 | (found[2] << 16) | (found[1] << 8) | found[0]; // in memory red comes first
}

// Runs of one mode, as [mode, first place, end], in the order that is shown.
function runs(side, places) {
  const found = [];
  places.forEach((task, place) => {
    const mode = run[side].mode[task], last = found.at(-1);
    if (last && last[0] === mode) last[2] = place + 1; else found.push([mode, place, place + 1]);
  });
  return found;
}

const allModes = [...new Set([...run.sources.modes, ...run.targets.modes])];
const modeColour = (name) => MODES[allModes.indexOf(name) % MODES.length];

function drawMargins(context) {
  const { left, top, strip } = MARGIN, cut = (value, most) => Math.max(0, Math.min(most, value));
  context.setTransform(size.ratio, 0, 0, size.ratio, 0, 0);
  context.font = '12px system-ui, sans-serif';
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  const side = (name, places, position, length, turned) => {
    for (const [mode, first, end] of runs(name, places)) {
      const from = cut(position(first), length), to = cut(position(end), length), label = run[name].modes[mode];
      if (to <= from) continue;
      context.fillStyle = modeColour(label);
      if (turned) context.fillRect(left - strip - 2, top + from, strip, to - from); else context.fillRect(left + from, top - strip - 2, to - from, strip);
      if (view.sort === 'cluster' || (turned && view.sort !== 'mode')) continue;
      context.fillStyle = colour('text');
      if (first && position(first) > 0) {
        if (turned) context.fillRect(left, top + from - 0.5, size.w, 1); else context.fillRect(left + from - 0.5, top, 1, size.h);
      }
      context.save();
      if (turned) { context.translate(left - strip - 12, top + (from + to) / 2); context.rotate(-Math.PI / 2); } else context.translate(left + (from + to) / 2, top - strip - 12);
      const fitting = fit(context, label, to - from - 4);
      context.fillText(fitting, 0, 0);
      context.restore();
    }
  };
  side('sources', order.rows, pyOf, size.h, true);
  side('targets', order.columns, pxOf, size.w, false);
  context.fillStyle = colour('quiet');
  context.font = '11px system-ui, sans-serif';
  context.fillText('target tasks →', left + size.w / 2, 8);
  context.save();
  context.translate(8, top + size.h / 2);
  context.rotate(-Math.PI / 2);
  context.fillText('← source tasks', 0, 0);
  context.restore();
  context.setTransform(1, 0, 0, 1, 0, 0);
}

function fit(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let n = text.length;
  while (n > 0 && context.measureText(`${text.slice(0, n)}…`).width > width) n--;
  return n > 1 ? `${text.slice(0, n)}…` : '';
}

function drawMarks() {
  const context = marks.getContext('2d'), { left, top } = MARGIN;
  context.setTransform(size.ratio, 0, 0, size.ratio, 0, 0);
  context.clearRect(0, 0, marks.width, marks.height);
  context.fillStyle = colour('link');
  for (const task of view.rows) { // chosen rows, along the left edge
    const from = Math.max(0, pyOf(order.row[task])), to = Math.min(size.h, pyOf(order.row[task] + 1));
    if (to > from) context.fillRect(left - 3, top + from, 3, Math.max(1, to - from));
  }
  if (view.cell) {
    const [i, j] = view.cell, w = Math.max(3, pxOf(1) - pxOf(0)), h = Math.max(3, pyOf(1) - pyOf(0));
    context.save();
    context.beginPath();
    context.rect(left, top, size.w, size.h);
    context.clip();
    for (const [style, width] of [[colour('ground'), 3.5], [colour('text'), 1.5]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.strokeRect(left + pxOf(order.column[j]), top + pyOf(order.row[i]), w, h);
    }
    context.restore();
  }
}

function drawLegend() {
  const context = $('scale').getContext('2d');
  context.clearRect(0, 0, 161, 20);
  for (let x = 0; x < 161; x++) {
    const k = Math.round((x / 160) * 512);
    const both = layer.anyWithin ? [palette.strong, palette.faint] : [palette.strong];
    both.forEach((colours, row) => {
      context.fillStyle = `rgb(${colours[k].map(Math.round)})`;
      context.fillRect(x, row * 11, 1, both.length > 1 ? 9 : 20);
    });
  }
  const { span } = layer.about;
  [$('scale-low').textContent, $('scale-high').textContent] = [ratioText(Math.exp(-span)), ratioText(Math.exp(span))];
  $('chips').replaceChildren(...allModes.map((name) => {
    const chip = Object.assign(document.createElement('i'), { className: 'chip' }), label = document.createElement('span');
    chip.style.background = modeColour(name);
    label.append(chip, name);
    return label;
  }));
}

// ---- Words -------------------------------------------------------------------------------------------------------------------

// A ratio with the digits that tell it, and the others, from 1.
function ratioText(value, ...others) {
  if (!Number.isFinite(value)) return '–';
  if (value >= 100) return value.toPrecision(3);
  const away = Math.max(...[value, ...others].filter(Number.isFinite).map((one) => Math.abs(one - 1)));
  return value.toFixed(away > 0 ? Math.min(9, Math.max(3, 1 - Math.floor(Math.log10(away)))) : 3);
}

const number = (value) => (Number.isFinite(value) ? value.toPrecision(4) : '–');
const signed = (value) => (value < 0 ? '−' : '+') + Math.abs(value).toPrecision(3);
const kindOf = (ratio) => (ratio < run.band[0] ? 'positive' : ratio < run.band[1] ? 'neutral' : 'negative');
const taskName = (side, task) => `${run[side].modes[run[side].mode[task]]} ${run[side].index[task]}`;

// Whether a pair is a task on itself, also as part of a combination.
function itself(i, j) {
  const [a, b] = [run.sources, run.targets];
  const drawn = a.samplers[a.sampler[i]] === b.samplers[b.sampler[j]];
  return (drawn || run.same[a.mode[i]][b.mode[j]]) && a.index[i] === b.index[j];
}

// What is known of a pair, a line for each thing.
function describe(i, j) {
  const k = i * T + j, log = layer.log[k], ratio = Math.exp(log), lines = [], self = itself(i, j) ? ', a task on itself' : '';
  if (Number.isNaN(log)) {
    const status = layer.status ? run.statuses[layer.status[k]] : 'unknown';
    lines.push(`no ratio: ${status}${self}`);
  } else lines.push(`LR ${ratioText(ratio)}${run.replicates > 1 ? ' of the first draw' : ''}, reads ${kindOf(ratio)}${self}`);
  if (run.replicates > 1) lines.push(...ofReplicates(k)); else if (!Number.isNaN(log)) lines.push(ofNoise(i, j, k));
  if (layer.first_order && Number.isFinite(layer.first_order[k] + log)) {
    const first = layer.first_order[k];
    lines.push(`log LR ${signed(log)} = first-order part ${signed(first)} and curvature ${signed(log - first)}`);
  }
  return lines;
}

function ofNoise(i, j, k) {
  const band = layer.about.noise[run.sources.mode[i]][run.targets.mode[j]];
  if (!band) return 'how far resampling noise moves it was not measured';
  const ends = `${ratioText(band[0], band[1])} to ${ratioText(band[1], band[0])}`;
  return layer.within[k] ? `within the resampling noise (95 %: ${ends}): its sign is not told` : `beyond the band of 95 % of the resampling noise (${ends})`;
}

function ofReplicates(k) {
  const lines = [];
  if (layer.mean) {
    const [middle, low, high] = ['mean', 'low', 'high'].map((name) => (layer[name] ? Math.exp(layer[name][k]) : NaN));
    const ends = Number.isFinite(low) ? `, 95 % interval ${ratioText(low, high)} to ${ratioText(high, low)}` : '';
    lines.push(`geometric mean over draws ${ratioText(middle, low, high)}${ends}`);
  }
  if (layer.n_known) {
    lines.push(`in ${layer.n_known[k]} replicates: ${layer.n_positive[k]} positive, ${layer.n_negative[k]} negative`);
  }
  if (layer.verdict) {
    const verdict = run.verdicts[layer.verdict[k]], q = layer.q ? layer.q[k] : NaN;
    const by = Number.isFinite(q) ? ` (q = ${q.toPrecision(2)})` : '';
    lines.push(!verdict ? 'too few replicates to tell its sign' : verdict === 'undecided' ? `within the noise: its sign is not told${by}` : `told to be ${verdict}${by}`);
  }
  return lines;
}

function tell() {
  if (!view.cell) { $('told').textContent = 'Point at a cell, or move by the arrow keys.'; return; }
  const [i, j] = view.cell;
  $('told').textContent = [`${taskName('sources', i)} → ${taskName('targets', j)}`, ...describe(i, j)].join('\n');
}

// ---- The tasks of a pair -----------------------------------------------------------------------------------------------------

let pictures = null;
const SVG = 'http://www.w3.org/2000/svg';
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const shape = (tag, attributes) => {
  const element = document.createElementNS(SVG, tag);
  Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  return element;
};

function drawing({ kind, box, paths, stroke }) {
  const svg = shape('svg', { viewBox: box, class: `drawing ${kind}`, 'aria-hidden': 'true' });
  paths.forEach((path) => svg.append(shape('path', { d: path, 'stroke-width': stroke })));
  return svg;
}

function plot([xs, ys]) {
  const low = Math.min(...ys), height = Math.max(Math.max(...ys) - low, 1e-9);
  const svg = shape('svg', { viewBox: '-3 -3 106 66', class: 'drawing points', 'aria-hidden': 'true' });
  xs.forEach((x, k) => svg.append(shape('circle', { cx: 10 * (x + 5), cy: 60 - (60 * (ys[k] - low)) / height, r: 2 })));
  return svg;
}

function supportSet(side, task) {
  pictures ||= JSON.parse($('pictures').textContent);
  const found = pictures[side.slice(0, -1)]?.[task], names = run[side].classes[task];
  const box = make('div', {}, make('h3', { textContent: `${side === 'sources' ? 'Source' : 'Target'}: ${taskName(side, task)}` }));
  if (found?.points) box.append(plot(found.points), make('p', { className: 'note', textContent: names.join(', ') }));
  else names.forEach((name, c) => {
    const row = make('div', { className: 'class' });
    for (const shots of found?.classes[c] || []) {
      row.append(...shots.images.filter((uri) => /^data:image\/(png|jpeg);base64,/.test(uri)).map((src) => make('img', { src, alt: '' })), ...shots.drawings.map(drawing));
      if (shots.modality) row.append(make('span', { textContent: shots.modality }));
    }
    row.append(make('span', { textContent: name }));
    box.append(row);
  });
  const sampler = run[side].samplers[run[side].sampler[task]];
  box.append(make('p', { className: 'note', textContent: `${sampler}, task ${run[side].index[task]}` }));
  return box;
}

// The command that measures a pair again, else the call from Python, else nothing.
function commandOf(i, j) {
  if (!run.command) return run.call ? callOf(i, j) : '';
  const { start, sources, targets, end } = run.command, { mode, index } = run.sources;
  return [start, sources[mode[i]], '--n-source', index[i] + 1, targets[run.targets.mode[j]], '--n-target', run.targets.index[j] + 1, end].join(' ');
}

function callOf(i, j) {
  const tasks = (side, task) => `reopen_tasks(${JSON.stringify(run[side].samplers[run[side].sampler[task]])})`;
  const step = run.call.lookahead ? `, lookahead=${run.call.lookahead}(${layer.about.alpha})` : '';
  const numbers = `n_source=${run.sources.index[i] + 1}, n_target=${run.targets.index[j] + 1}${step}, controls=0`;
  const call = `tr.measure(learner, checkpoint, ${tasks('sources', i)}, ${tasks('targets', j)}, ${numbers}, out=${JSON.stringify(run.call.out)})`;
  return `import transference as tr\nfrom transference.samplers import reopen_tasks\n\n${call}`;
}

function openPair() {
  if (!view.cell) return;
  const [i, j] = view.cell, before = run.losses[layer.about.step][j], log = layer.log[i * T + j];
  $('pair-title').textContent = `${taskName('sources', i)} → ${taskName('targets', j)}`;
  const losses = `loss before ${number(before ?? NaN)}, after ${number((before ?? NaN) * Math.exp(log))}`;
  $('pair-facts').replaceChildren(...[...describe(i, j), `${losses}, at checkpoint ${layer.about.step} and ${run.told[view.alpha]}`].map((text) => make('li', { textContent: text })));
  $('pair-tasks').replaceChildren(supportSet('sources', i), supportSet('targets', j));
  if (run.noPictures) $('pair-tasks').append(make('p', { className: 'note', textContent: `No pictures: ${run.noPictures}` }));
  $('pair-command').textContent = commandOf(i, j);
  $('pair-again').hidden = !$('pair-command').textContent;
  if (!$('pair').open) $('pair').showModal();
}

// ---- Chosen rows -------------------------------------------------------------------------------------------------------------

function chooseRows(from, to) {
  const [first, last] = [Math.min(from, to), Math.max(from, to)].map((place) => Math.max(0, Math.min(S - 1, place)));
  view.rows = [...order.rows.subarray(first, last + 1)].sort((a, b) => a - b);
}

function showRows() {
  $('brush').hidden = !view.rows.length;
  if (!view.rows.length || !layer) return;
  $('brush-title').textContent = `${view.rows.length} source task${view.rows.length > 1 ? 's' : ''}`;
  $('brush-means').replaceChildren(...run.targets.modes.map((name, mode) => make('li', { textContent: `→ ${name}: ${meanOn(mode)}` })));
  $('brush-list').value = view.rows.map((task) => `--source ${quoted(taskName('sources', task).replace(/ (\d+)$/, ':$1'))}`).join(' ');
}

// A word as a shell takes it.
const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);

// The mean of the chosen sources on each target of a mode, and Student's interval of the mean of these.
function meanOn(mode) {
  const each = [];
  for (let j = 0; j < T; j++) {
    if (run.targets.mode[j] !== mode) continue;
    const value = mean(view.rows.map((i) => (itself(i, j) ? NaN : layer.shown[i * T + j])));
    if (!Number.isNaN(value)) each.push(value);
  }
  if (!each.length) return 'no ratio';
  const middle = mean(each), n = each.length;
  if (n < 2) return `LR ${ratioText(Math.exp(middle))}, a single target has no interval`;
  const spread = Math.sqrt(each.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (n - 1));
  const half = ((run.student[n - 2] ?? 1.96 + 2.4 / (n - 1)) * spread) / Math.sqrt(n);
  const [value, low, high] = [middle, middle - half, middle + half].map(Math.exp);
  return `LR ${ratioText(value, low, high)}, 95 % interval ${ratioText(low, high)} to ${ratioText(high, low)}, ${n} targets`;
}

// ---- The address -------------------------------------------------------------------------------------------------------------

// Numbers as ranges: 1, 2, 3, 7 as 1-3,7.
function asRanges(numbers) {
  const found = [];
  for (const one of numbers) if (found.length && found.at(-1)[1] === one - 1) found.at(-1)[1] = one; else found.push([one, one]);
  return found.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',');
}

function fromRanges(text) {
  const found = new Set();
  for (const part of text.split(',')) {
    const [first, last = first] = part.split('-').map(Number);
    for (let one = Math.max(0, first); one <= Math.min(last, S - 1); one++) if (Number.isInteger(one)) found.add(one);
  }
  return [...found].sort((a, b) => a - b);
}

let saving = 0;
function save() {
  clearTimeout(saving);
  saving = setTimeout(() => {
    const words = { step: run.steps[view.step], alpha: run.alphas[view.alpha], sort: view.sort, faint: +view.faint };
    if (view.zoom > 1) words.view = [view.zoom, view.x, view.y].map((value) => +value.toFixed(7)).join(',');
    if (view.cell) words.cell = view.cell.join(',');
    if (view.rows.length) words.rows = asRanges(view.rows);
    try { history.replaceState(null, '', `#${Object.entries(words).map((pair) => pair.join('=')).join('&')}`); } catch { /* a frame that has no address */ }
  }, 150);
}

// Take what the address says, and leave out what this page does not have.
function restore() {
  const words = Object.fromEntries(location.hash.slice(1).split('&').map((word) => word.split('=')));
  const choose = (values, text, fallback) => (values.includes(Number(text)) && text ? values.indexOf(Number(text)) : fallback);
  view.step = choose(run.steps, words.step, view.step);
  view.alpha = choose(run.alphas, words.alpha, view.alpha);
  if (['mode', 'cluster', 'mean'].includes(words.sort) && (words.sort !== 'cluster' || run.clusters)) view.sort = words.sort;
  if (words.faint) view.faint = words.faint !== '0';
  const [zoom, x, y] = (words.view || '1,0,0').split(',').map(Number);
  if ([zoom, x, y].every(Number.isFinite)) Object.assign(view, { zoom, x, y });
  const [i, j] = (words.cell || '').split(',').map(Number);
  view.cell = words.cell && i >= 0 && i < S && j >= 0 && j < T && Number.isInteger(i) && Number.isInteger(j) ? [i, j] : null;
  view.rows = words.rows ? fromRanges(words.rows) : [];
}

// ---- What people do ----------------------------------------------------------------------------------------------------------

const mostZoom = () => Math.max(1, Math.max(S, T) / 8);

function clampView() {
  view.zoom = Math.max(1, Math.min(mostZoom(), view.zoom));
  for (const axis of ['x', 'y']) view[axis] = Math.max(0, Math.min(1 - 1 / view.zoom, view[axis]));
  marks.style.touchAction = view.zoom > 1 ? 'none' : 'pan-y';
}

let waiting = false;
function redraw() { // once a frame at most
  clampView();
  save();
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
}

// Zoom around a CSS pixel of the matrix, the middle by default.
function zoom(by, px = size.w / 2, py = size.h / 2) {
  const at = [view.x + px / size.w / view.zoom, view.y + py / size.h / view.zoom];
  view.zoom = Math.max(1, Math.min(mostZoom(), view.zoom * by));
  [view.x, view.y] = [at[0] - px / size.w / view.zoom, at[1] - py / size.h / view.zoom];
  redraw();
}

function point(cell) {
  if (cell?.join() === view.cell?.join()) return;
  view.cell = cell;
  tell();
  drawMarks();
  save();
}

function cellAt(event) {
  const box = marks.getBoundingClientRect(), px = event.clientX - box.left - MARGIN.left, py = event.clientY - box.top - MARGIN.top;
  const inside = px >= 0 && py >= 0 && px < size.w && py < size.h, row = Math.floor(atRow(py)), column = Math.floor(atColumn(px));
  return { px, py, row, inside, cell: inside && row < S && column < T ? [order.rows[row], order.columns[column]] : null };
}

async function change() {
  await load();
  arrange();
  for (const [name, values] of [['step', run.steps], ['alpha', run.alphas]]) {
    Object.assign($(name), { max: values.length - 1, value: view[name] });
    $(`${name}-value`).textContent = values[view[name]].toLocaleString('en', { maximumFractionDigits: 12 });
    $(`${name}-box`).hidden = values.length < 2;
  }
  for (const name of ['faint-box', 'scale-note']) $(name).hidden = !layer.anyWithin;
  [$('sort').value, $('faint').checked] = [view.sort, view.faint];
  drawLegend();
  clampView();
  draw();
  tell();
  showRows();
  save();
}

function listen() {
  for (const name of ['step', 'alpha']) $(name).addEventListener('input', () => { view[name] = Number($(name).value); change(); });
  $('sort').addEventListener('change', () => { view.sort = $('sort').value; change(); });
  $('faint').addEventListener('change', () => { view.faint = $('faint').checked; redraw(); });
  $('in').addEventListener('click', () => zoom(1.5));
  $('out').addEventListener('click', () => zoom(1 / 1.5));
  $('fit').addEventListener('click', () => { view.zoom = 1; redraw(); });
  $('pair-close').addEventListener('click', () => $('pair').close());
  $('pair').addEventListener('close', () => marks.focus());
  $('pair').addEventListener('click', (event) => { if (event.target === $('pair')) $('pair').close(); });
  $('brush-clear').addEventListener('click', clearRows);
  $('brush-copy').addEventListener('click', () => copy($('brush-copy'), $('brush-list').value, () => $('brush-list').select()));
  $('pair-copy').addEventListener('click', () => copy($('pair-copy'), $('pair-command').textContent, () => getSelection().selectAllChildren($('pair-command'))));
  marks.addEventListener('keydown', key);
  marks.addEventListener('dblclick', (event) => { const at = cellAt(event); zoom(2, at.px, at.py); });
  marks.addEventListener('wheel', wheel, { passive: false });
  new ResizeObserver(() => { if (stage.clientWidth !== size.w + MARGIN.left) { measureStage(); draw(); } }).observe(stage);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { choosePalette(); drawLegend(); draw(); });
  window.addEventListener('hashchange', () => { restore(); change(); });
}

function clearRows() { view.rows = []; showRows(); drawMarks(); save(); }

async function copy(button, text, select) {
  const label = button.dataset.label ||= button.textContent;
  try { await navigator.clipboard.writeText(text); button.textContent = 'Copied'; } catch { select(); button.textContent = 'Selected: copy it by Ctrl+C'; }
  setTimeout(() => { button.textContent = label; }, 2000);
}

function wheel(event) {
  if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
  event.preventDefault();
  const { px, py } = cellAt(event);
  zoom(Math.exp(-event.deltaY / 300), px, py);
}

function key(event) {
  const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageUp: [-10, 0], PageDown: [10, 0] };
  const move = moves[event.key];
  if (move) moveBy(move, event.shiftKey);
  else if (event.key === '+' || event.key === '=') zoom(1.5, ...middleOfCell());
  else if (event.key === '-') zoom(1 / 1.5, ...middleOfCell());
  else if (event.key === '0') { view.zoom = 1; redraw(); } else if (event.key === 'Enter') openPair();
  else if (event.key === 'Escape') { clearRows(); point(null); } else return;
  event.preventDefault();
}

const middleOfCell = () => (view.cell ? [pxOf(order.column[view.cell[1]] + 0.5), pyOf(order.row[view.cell[0]] + 0.5)] : []);

let anchor = null; // where choosing rows by keys began
function moveBy([down, right], choosing) {
  const [row, column] = view.cell ? [order.row[view.cell[0]], order.column[view.cell[1]]] : [-Math.abs(down), -Math.abs(right)];
  const places = view.cell ? [row + down, column + right] : [0, 0];
  const [r, c] = [Math.max(0, Math.min(S - 1, places[0])), Math.max(0, Math.min(T - 1, places[1]))];
  anchor = choosing ? anchor ?? Math.max(0, row) : null;
  if (choosing && down) { chooseRows(anchor, r); showRows(); }
  point([order.rows[r], order.columns[c]]);
  // What is pointed at stays in sight.
  for (const [axis, place, n] of [['x', c, T], ['y', r, S]]) view[axis] = Math.min(place / n, Math.max(view[axis], (place + 1) / n - 1 / view.zoom));
  redraw();
}

// Pointers: hover, click, drag to move, shift or margin to choose rows, two fingers to zoom.
function follow() {
  const down = new Map();
  let drag = null;
  const begin = (event, choosing) => {
    const at = cellAt(event);
    down.set(event.pointerId, at);
    event.target.setPointerCapture(event.pointerId);
    drag = { ...at, x: view.x, y: view.y, moved: false, choosing, shown: view.cell };
  };
  const move = (event) => {
    const at = cellAt(event);
    if (down.has(event.pointerId)) down.set(event.pointerId, at);
    if (down.size === 2) return pinch();
    if (!drag || !down.size) return event.pointerType === 'mouse' ? point(at.cell) : undefined;
    drag.moved ||= Math.hypot(at.px - drag.px, at.py - drag.py) > 4;
    if (!drag.moved) return undefined;
    if (drag.choosing) { chooseRows(drag.row, at.row); showRows(); drawMarks(); return save(); }
    [view.x, view.y] = [drag.x - (at.px - drag.px) / size.w / view.zoom, drag.y - (at.py - drag.py) / size.h / view.zoom];
    return redraw();
  };
  let apart = 0;
  const pinch = () => {
    const [a, b] = [...down.values()], now = Math.hypot(a.px - b.px, a.py - b.py);
    if (apart) zoom(now / apart, (a.px + b.px) / 2, (a.py + b.py) / 2);
    [apart, drag] = [now, null];
  };
  const end = (event) => {
    const at = cellAt(event), was = drag;
    down.delete(event.pointerId);
    apart = 0;
    if (down.size || !was) return;
    drag = null;
    if (was.choosing && !was.moved) { chooseRows(was.row, was.row); showRows(); drawMarks(); save(); }
    if (was.moved || was.choosing || !at.cell || event.type !== 'pointerup') return;
    point(at.cell);
    // A finger points first, and opens what it points at.
    if (event.pointerType === 'mouse' || was.shown?.join() === at.cell.join()) openPair();
  };
  marks.addEventListener('pointerdown', (event) => { if (event.button === 0) begin(event, event.shiftKey); });
  $('margin').addEventListener('pointerdown', (event) => begin(event, true));
  for (const element of [marks, $('margin')]) {
    element.addEventListener('pointermove', move);
    element.addEventListener('pointerup', end);
    element.addEventListener('pointercancel', end);
  }
}

async function start() {
  if (!window.DecompressionStream) throw new Error('this browser cannot unpack the numbers; take one of 2023 or later');
  if (!run.clusters) $('sort').querySelector('[value=cluster]').remove();
  choosePalette();
  restore();
  measureStage();
  listen();
  follow();
  await change();
  document.documentElement.dataset.ready = performance.now().toFixed(0);
}

start().catch((error) => { Object.assign($('broken'), { textContent: `The matrix cannot be shown: ${error.message}.`, hidden: false }); });
