"""The page in a real browser: what is seen, pixel by pixel, and what buttons, mouse and fingers do to it."""

import numpy as np
import pytest
import voxshift as vs
from browser import Browser, needs_browser

pytestmark = needs_browser

CLASSES = [("road", (255, 0, 255)), ("car", (100, 150, 245)), ("building", (255, 200, 0)), ("plants", (0, 175, 0)),
           ("rest", (150, 240, 80))]
GROUPS = {0: [40, 44, 60], 1: [10, 18, 20], 2: [50, 51, 52], 3: [70, 71]}


@pytest.fixture(scope="module")
def browser():
    with Browser() as window:
        yield window


def scan_of(seed):
    points, labels, objects = vs.synth_lidar(seed, boxes=True)
    ids = np.full(len(labels), 4)
    for train_id, raw_ids in GROUPS.items():
        ids[np.isin(labels & 0xFFFF, raw_ids)] = train_id
    boxes = np.asarray(objects["boxes"])[:5]
    return {"points": points, "labels": ids, "boxes": boxes, "scores": np.linspace(0.9, 0.5, len(boxes)),
            "classes": np.ones(len(boxes)), "name": f"scan {seed}", "seconds": 0.1 * seed}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    vs.write_html(path, [scan_of(seed) for seed in (4, 5)], CLASSES, title="two scans")
    assert path.stat().st_size < 2 * 2e6
    return path


@pytest.fixture
def opened(browser, page):
    browser.open(page)
    yield browser
    assert not browser.errors
    assert {url.split("#")[0] for url in browser.requests} == {page.resolve().as_uri()}  # nothing from elsewhere


def pixels(picture, train_id):
    return int((picture == CLASSES[train_id][1]).all(axis=2).sum())


def differing(one, other):
    return (one != other).any(axis=2).mean()


def scene_of(picture):
    """Without the legend, the buttons and the slider."""
    return picture[70:640, :980]


def test_the_colours_of_classes_are_seen_and_taken_away(opened):
    before = scene_of(opened.picture())
    assert all(pixels(before, train_id) > 200 for train_id in (0, 3, 4))
    opened.click('#rows button[data-id="0"]')
    after = scene_of(opened.picture())
    assert pixels(after, 0) == 0 and pixels(after, 3) >= pixels(before, 3) > 0
    opened.click('#rows button[data-id="0"]')
    assert differing(scene_of(opened.picture()), before) == 0
    opened.click("#none")
    assert len(np.unique(scene_of(opened.picture()).reshape(-1, 3), axis=0)) == 1
    opened.click("#all")
    assert differing(scene_of(opened.picture()), before) == 0


def test_the_legend_counts_what_the_frame_has(opened):
    labels = scan_of(4)["labels"]
    text = opened.run("document.querySelector('#rows button[data-id=\"3\"] b').textContent")
    assert text == f"{(labels == 3).sum():,}"
    assert opened.run("document.querySelector('#rows button[data-id=\"1\"] b').textContent").startswith("5 boxes · ")
    assert opened.run("document.getElementById('what').textContent") == f"{len(labels):,} points · 5 boxes · 0.40 s"


def test_the_slider_shows_another_scan_and_play_goes_on_by_itself(opened):
    first = scene_of(opened.picture())
    opened.run("document.getElementById('slider').focus()")
    for kind in ["keyDown", "keyUp"]:
        opened.call("Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight", windowsVirtualKeyCode=39)
    opened.drawn()
    assert opened.run("document.getElementById('title').textContent") == "scan 5"
    second = scene_of(opened.picture())
    assert differing(first, second) > 0.02
    opened.run("""window.seen = new Promise(done => new MutationObserver(() => done(document.getElementById('title').textContent))
                  .observe(document.getElementById('title'), {childList: true})); 0""")
    opened.click("#play")
    assert opened.run("window.seen") == "scan 4"
    opened.click("#play")
    assert opened.run("document.getElementById('play').getAttribute('aria-label')") == "Play"


def test_remission_and_height_colour_the_points(opened):
    by_class = scene_of(opened.picture())
    seen = []
    for colour in ["remission", "height"]:
        opened.click(f'[data-colour="{colour}"]')
        seen.append(scene_of(opened.picture()))
        assert pixels(seen[-1], 0) == 0 and len(np.unique(seen[-1].reshape(-1, 3), axis=0)) > 50
    assert differing(*seen) > 0.02
    opened.click('[data-colour="class"]')
    assert differing(scene_of(opened.picture()), by_class) == 0


def test_boxes_have_names_and_scores(opened):
    names = opened.run("[...document.querySelectorAll('#names span:not([hidden])')].map(e => e.textContent)")
    assert names and set(names) <= {f"car {score:.2f}" for score in np.linspace(0.9, 0.5, 5)}
    opened.click("#scores")
    assert opened.run("document.querySelectorAll('#names span:not([hidden])').length") == 0


def test_the_mouse_turns_moves_and_zooms(opened):
    pictures = [scene_of(opened.picture())]
    opened.drag((500, 300), (650, 330))
    pictures.append(scene_of(opened.picture()))
    opened.drag((500, 300), (560, 380), button="right")
    pictures.append(scene_of(opened.picture()))
    opened.call("Input.dispatchMouseEvent", type="mouseWheel", x=500, y=300, deltaX=0, deltaY=-400)
    opened.drawn()
    pictures.append(scene_of(opened.picture()))
    assert all(differing(a, b) > 0.02 for a, b in zip(pictures, pictures[1:]))
    opened.click("#behind")
    assert differing(scene_of(opened.picture()), pictures[0]) == 0


def test_on_a_phone_everything_is_within_reach_of_a_finger(browser, page):
    browser.open(page, 390, 844, phone=True)
    assert browser.run("document.documentElement.scrollWidth") == 390
    small = browser.run("""[...document.querySelectorAll('button, input')].filter(e => e.offsetParent)
        .filter(e => { const r = e.getBoundingClientRect(); return r.width < 44 || r.height < 44 || r.left < 0 || r.right > 390; })
        .map(e => e.id || e.textContent)""")
    assert small == []
    before = browser.picture()
    assert before.shape == (1688, 780, 3)
    assert pixels(before, 4) > 200
    browser.touch([(200, 350)], [(260, 380)], [(300, 390)])
    turned = browser.picture()
    browser.touch([(150, 350), (250, 350)], [(120, 350), (280, 350)], [(90, 350), (310, 350)])
    nearer = browser.picture()
    assert differing(before, turned) > 0.02 and differing(turned, nearer) > 0.02
    browser.click("#open")
    assert browser.run("document.getElementById('legend').getBoundingClientRect().width") > 250
    browser.click('#rows button[data-id="4"]')
    browser.click("#open")
    assert pixels(browser.picture(), 4) == 0
    assert not browser.errors


def test_a_notebook_shows_it_in_a_frame(browser, tmp_path):
    outer = tmp_path / "notebook.html"
    outer.write_text("<body>" + vs.Page(scan_of(4), CLASSES)._repr_html_(), encoding="utf-8")
    browser.open(outer)
    assert pixels(browser.picture(), 3) > 100
    assert not browser.errors
