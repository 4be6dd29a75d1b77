// Points and boxes by WebGL 2. A point is 8 bytes as the page has them: x, y, z of 16 bits each from `low` to
// `low + extent`, remission and class of 8.
const POINTS = `#version 300 es
precision highp float;
precision highp sampler2D;
uniform mat4 matrix;
uniform vec3 low, extent;
uniform vec2 heights;       // where the ramp begins, 1 / its length
uniform vec3 sizes;         // pixels at a metre's distance, least, most
uniform int row;            // of the table: 0 classes, 1 remission, 2 height
uniform sampler2D table;    // colours; of classes alpha says whether they are shown
in vec3 place;
in float remission;
in uint label;
flat out vec3 colour;
void main() {
  vec3 p = low + place * extent;
  vec4 of_class = texelFetch(table, ivec2(label, 0), 0);
  float along = row == 1 ? remission : clamp((p.z - heights.x) * heights.y, 0.0, 1.0);
  colour = row == 0 ? of_class.rgb : texelFetch(table, ivec2(int(along * 255.0 + 0.5), row), 0).rgb;
  gl_Position = of_class.a > 0.5 ? matrix * vec4(p, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
  gl_PointSize = clamp(sizes.x / gl_Position.w, sizes.y, sizes.z);
}`;
// Each line is two triangles, `width` pixels wide; what lies behind the eye is cut off.
const LINES = `#version 300 es
precision highp float;
uniform mat4 matrix;
uniform vec2 window;
uniform float width;
in vec3 from, to, rgb;
flat out vec3 colour;
void main() {
  vec4 a = matrix * vec4(from, 1.0), b = matrix * vec4(to, 1.0);
  float near = 0.01;
  if (a.w < near && b.w > near) a = mix(b, a, (b.w - near) / (b.w - a.w));
  if (b.w < near && a.w > near) b = mix(a, b, (a.w - near) / (a.w - b.w));
  vec2 along = (b.xy / b.w - a.xy / a.w) * window;
  vec2 across = normalize(length(along) > 0.0 ? vec2(-along.y, along.x) : vec2(1.0, 0.0)) * width / window;
  bool at_end = gl_VertexID == 1 || gl_VertexID > 3;
  float side = gl_VertexID == 0 || gl_VertexID == 1 || gl_VertexID == 5 ? 1.0 : -1.0;
  gl_Position = at_end ? b : a;
  gl_Position.xy += side * across * gl_Position.w;
  colour = rgb;
}`;
const COLOUR = `#version 300 es
precision mediump float;
flat in vec3 colour;
out vec4 pixel;
void main() { pixel = vec4(colour, 1.0); }`;

// The corners of a box [x, y, z, length, width, height, yaw, ..], then the middle of its roof and of the roof's front.
function cornersOf(box) {
  const [x, y, z, l, w, h, yaw] = box, c = Math.cos(yaw), s = Math.sin(yaw);
  const at = (a, b, up) => [x + c * a * l / 2 - s * b * w / 2, y + s * a * l / 2 + c * b * w / 2, z + up * h / 2];
  const corners = [];
  for (const up of [-1, 1]) for (const [a, b] of [[1, 1], [1, -1], [-1, -1], [-1, 1]]) corners.push(at(a, b, up));
  return [...corners, at(0, 0, 1), at(1, 0, 1)];
}
const EDGES = [[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7], [8, 9]];

class Scene {
  constructor(canvas) {
    this.canvas = canvas;
    this.gl = canvas.getContext("webgl2", { antialias: true, alpha: false, powerPreference: "low-power" });
    if (!this.gl) throw new Error("This page needs WebGL 2, which this browser does not offer.");
    this.table = new Uint8Array(256 * 3 * 4);
    this.points = { bytes: new Uint8Array(0), low: [0, 0, 0], extent: [0, 0, 0] };
    this.lines = new Float32Array(0);
    this.row = 0;
    this.heights = [0, 1];
    this.pointSize = 1;
    this.prepare();
  }

  // Again after the browser took the context away.
  prepare() {
    const gl = this.gl;
    this.pointProgram = this.program(POINTS);
    this.lineProgram = this.program(LINES);
    this.pointBuffer = gl.createBuffer();
    this.lineBuffer = gl.createBuffer();
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
    gl.enable(gl.DEPTH_TEST);
    gl.clearColor(0.047, 0.059, 0.078, 1);
    this.layPoints();
    this.layLines();
    this.setPoints(this.points);
    this.setLines(this.lines);
    this.setTable();
  }

  program(vertex) {
    const gl = this.gl, program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, COLOUR]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost())
      throw new Error("WebGL: " + gl.getProgramInfoLog(program));
    return program;
  }

  layPoints() {
    const gl = this.gl, at = (name) => gl.getAttribLocation(this.pointProgram, name);
    this.pointArray = gl.createVertexArray();
    gl.bindVertexArray(this.pointArray);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.pointBuffer);
    gl.vertexAttribPointer(at("place"), 3, gl.UNSIGNED_SHORT, true, 8, 0);
    gl.vertexAttribPointer(at("remission"), 1, gl.UNSIGNED_BYTE, true, 8, 6);
    gl.vertexAttribIPointer(at("label"), 1, gl.UNSIGNED_BYTE, 8, 7);
    for (const name of ["place", "remission", "label"]) gl.enableVertexAttribArray(at(name));
  }

  layLines() {
    const gl = this.gl;
    this.lineArray = gl.createVertexArray();
    gl.bindVertexArray(this.lineArray);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.lineBuffer);
    ["from", "to", "rgb"].forEach((name, i) => {
      const at = gl.getAttribLocation(this.lineProgram, name);
      gl.vertexAttribPointer(at, 3, gl.FLOAT, false, 36, 12 * i);
      gl.vertexAttribDivisor(at, 1);
      gl.enableVertexAttribArray(at);
    });
  }

  setPoints(points) {
    this.points = points;
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, this.pointBuffer);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, points.bytes, this.gl.STATIC_DRAW);
  }

  // Nine numbers a line: from, to, red green blue.
  setLines(lines) {
    this.lines = lines;
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, this.lineBuffer);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, lines, this.gl.STATIC_DRAW);
  }

  setTable() {
    const gl = this.gl;
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 3, 0, gl.RGBA, gl.UNSIGNED_BYTE, this.table);
  }

  draw(camera) {
    const gl = this.gl, ratio = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    const height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    if (this.canvas.width !== width || this.canvas.height !== height) [this.canvas.width, this.canvas.height] = [width, height];
    const matrix = camera.matrix(width / height);
    const give = (program, name, set, ...values) => gl[set](gl.getUniformLocation(program, name), ...values);
    gl.viewport(0, 0, width, height);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.useProgram(this.pointProgram);
    give(this.pointProgram, "matrix", "uniformMatrix4fv", false, matrix);
    give(this.pointProgram, "low", "uniform3fv", this.points.low);
    give(this.pointProgram, "extent", "uniform3fv", this.points.extent);
    give(this.pointProgram, "heights", "uniform2fv", [this.heights[0], 1 / Math.max(1e-6, this.heights[1] - this.heights[0])]);
    const size = this.pointSize * ratio;
    give(this.pointProgram, "sizes", "uniform3fv", [0.07 * height * this.pointSize, 1.5 * size, 6 * size]);
    give(this.pointProgram, "row", "uniform1i", this.row);
    gl.bindVertexArray(this.pointArray);
    gl.drawArrays(gl.POINTS, 0, this.points.bytes.length / 8);
    gl.useProgram(this.lineProgram);
    give(this.lineProgram, "matrix", "uniformMatrix4fv", false, matrix);
    give(this.lineProgram, "window", "uniform2fv", [width, height]);
    give(this.lineProgram, "width", "uniform1f", 1.6 * ratio);
    gl.bindVertexArray(this.lineArray);
    gl.drawArraysInstanced(gl.TRIANGLES, 0, 6, this.lines.length / 9);
    return matrix;
  }
}
