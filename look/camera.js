// Where one looks from: z is up, angles in radians, lengths in metres.
class Camera {
  constructor(target, reach) {
    this.home = target;
    this.reach = reach;
    this.fromBehind();
  }

  fromBehind() { this.look(Math.PI, 0.55, 1.45); }

  fromAbove() { this.look(Math.PI, Math.PI / 2, 2.3); }

  look(yaw, pitch, reaches) {
    this.target = [...this.home];
    this.yaw = yaw;
    this.pitch = pitch;
    this.distance = this.reach * reaches;
  }

  orbit(right, up) {
    this.yaw -= right;
    this.pitch = Math.min(Math.PI / 2, Math.max(-Math.PI / 2, this.pitch + up));
  }

  // What lies at the target moves by so many heights of the window.
  pan(right, up) {
    const size = 2 * this.distance * Math.tan(Camera.FIELD / 2), [x, y] = this.axes();
    for (let i = 0; i < 3; ++i) this.target[i] -= size * (right * x[i] + up * y[i]);
  }

  zoom(factor) { this.distance = Math.min(20 * this.reach, Math.max(this.reach / 400, this.distance * factor)); }

  // Right, up and back as one looks.
  axes() {
    const cy = Math.cos(this.yaw), sy = Math.sin(this.yaw), cp = Math.cos(this.pitch), sp = Math.sin(this.pitch);
    return [[-sy, cy, 0], [-cy * sp, -sy * sp, cp], [cy * cp, sy * cp, sp]];
  }

  // From metres to clip space, column by column. A window upright as a phone's shows as much of the ground as a wide one.
  matrix(aspect) {
    const axes = this.axes(), away = this.distance * Math.max(1, 1 / aspect) ** 0.6;
    const eye = this.target.map((v, i) => v + away * axes[2][i]);
    const f = 1 / Math.tan(Camera.FIELD / 2), near = away / 50, far = away + 60 * this.reach;
    const scale = [f / aspect, f, (far + near) / (near - far)], m = new Float32Array(16);
    for (let r = 0; r < 3; ++r) {
      for (let c = 0; c < 3; ++c) m[4 * c + r] = scale[r] * axes[r][c];
      m[12 + r] = -scale[r] * axes[r].reduce((sum, v, i) => sum + v * eye[i], 0);
    }
    m[14] += 2 * far * near / (near - far);
    for (let c = 0; c < 3; ++c) m[4 * c + 3] = -axes[2][c];
    m[15] = axes[2].reduce((sum, v, i) => sum + v * eye[i], 0);
    return m;
  }
}
Camera.FIELD = Math.PI / 4;  // of the window's height

// Turns, moves and zooms a camera by what happens on an element; `changed` is called after each.
function steer(camera, element, changed) {
  const held = new Map();
  const middle = () => {
    const all = [...held.values()];
    return [all.reduce((s, p) => s + p[0], 0) / all.length, all.reduce((s, p) => s + p[1], 0) / all.length];
  };
  const spread = () => {
    const all = [...held.values()];
    return all.length < 2 ? 0 : Math.hypot(all[0][0] - all[1][0], all[0][1] - all[1][1]);
  };
  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    held.set(event.pointerId, [event.clientX, event.clientY]);
  });
  element.addEventListener("pointermove", (event) => {
    if (!held.has(event.pointerId)) return;
    const before = middle(), apart = spread();
    held.set(event.pointerId, [event.clientX, event.clientY]);
    const [x, y] = middle(), right = (x - before[0]) / element.clientHeight, down = (y - before[1]) / element.clientHeight;
    if (apart > 0 && spread() > 0) camera.zoom(apart / spread());
    if (held.size > 1 || event.buttons & 6 || event.shiftKey || event.ctrlKey) camera.pan(right, -down);
    else camera.orbit(3.5 * right, 3.5 * down);
    changed();
  });
  for (const end of ["pointerup", "pointercancel"])
    element.addEventListener(end, (event) => held.delete(event.pointerId));
  element.addEventListener("contextmenu", (event) => event.preventDefault());
  element.addEventListener("wheel", (event) => {
    event.preventDefault();
    camera.zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY * (event.deltaMode ? 0.05 : 0.0015)))));
    changed();
  }, { passive: false });
}
