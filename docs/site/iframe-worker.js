// A Worker for pages that are opened as files, for which browsers start none: the script runs in a hidden frame. The
// search of the site wants no more of it than this. (Its name is the one that mkdocs-material's offline plugin looks for.)
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.srcdoc = "<!doctype html>";
      this.running = new Promise((started) => {
        frame.onload = () => {
          const inside = frame.contentWindow;
          inside.importScripts = (...urls) => urls.reduce((done, next) => done.then(() => added(inside, next)), Promise.resolve());
          inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
          added(inside, url).then(() => started(inside));
        };
      });
      document.body.appendChild(frame);
    }

    postMessage(data) {
      this.running.then((inside) => inside.dispatchEvent(new MessageEvent("message", { data })));
    }
  };

  function added(inside, url) {
    return new Promise((loaded, failed) => {
      const script = inside.document.createElement("script");
      Object.assign(script, { src: url, onload: loaded, onerror: failed });
      inside.document.head.appendChild(script);
    });
  }
}
