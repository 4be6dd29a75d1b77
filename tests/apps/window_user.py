"""Sits before the window of a program and uses it: window_user.py STEPS PROGRAM [ARGUMENT...], with libX11.

STEPS is a JSON list of [title, key]: as soon as the window has that title, the key is pressed, "close" closes the window
as a desktop does. Prints every title on standard output; ends with the program's exit status.
"""

import ctypes
import json
import subprocess
import sys

KEY_PRESS, KEY_RELEASE, MAP_NOTIFY, PROPERTY_NOTIFY, CLIENT_MESSAGE = 2, 3, 19, 28, 33
SUBSTRUCTURE_NOTIFY, PROPERTY_CHANGE = 1 << 19, 1 << 22

x11 = ctypes.CDLL("libX11.so.6")
Window = Atom = Time = ctypes.c_ulong
ERROR_HANDLER = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
START = [("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("send_event", ctypes.c_int),
         ("display", ctypes.c_void_p)]


class MapEvent(ctypes.Structure):
    _fields_ = START + [("parent", Window), ("window", Window)]


class KeyEvent(ctypes.Structure):
    _fields_ = START + [("window", Window), ("root", Window), ("subwindow", Window), ("time", Time),
                        ("x", ctypes.c_int), ("y", ctypes.c_int), ("x_root", ctypes.c_int), ("y_root", ctypes.c_int),
                        ("state", ctypes.c_uint), ("keycode", ctypes.c_uint), ("same_screen", ctypes.c_int)]


class ClientMessage(ctypes.Structure):
    _fields_ = START + [("window", Window), ("message_type", Atom), ("format", ctypes.c_int),
                        ("data", ctypes.c_long * 5)]


class Event(ctypes.Union):
    _fields_ = [("type", ctypes.c_int), ("map", MapEvent), ("key", KeyEvent), ("client", ClientMessage),
                ("size", ctypes.c_long * 24)]


for function, result, arguments in [
    ("XOpenDisplay", ctypes.c_void_p, [ctypes.c_char_p]),
    ("XDefaultRootWindow", Window, [ctypes.c_void_p]),
    ("XSelectInput", ctypes.c_int, [ctypes.c_void_p, Window, ctypes.c_long]),
    ("XNextEvent", ctypes.c_int, [ctypes.c_void_p, ctypes.POINTER(Event)]),
    ("XFetchName", ctypes.c_int, [ctypes.c_void_p, Window, ctypes.POINTER(ctypes.c_char_p)]),
    ("XInternAtom", Atom, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]),
    ("XStringToKeysym", ctypes.c_ulong, [ctypes.c_char_p]),
    ("XKeysymToKeycode", ctypes.c_ubyte, [ctypes.c_void_p, ctypes.c_ulong]),
    ("XSendEvent", ctypes.c_int, [ctypes.c_void_p, Window, ctypes.c_int, ctypes.c_long, ctypes.POINTER(Event)]),
    ("XFlush", ctypes.c_int, [ctypes.c_void_p]),
    ("XSetErrorHandler", ctypes.c_void_p, [ERROR_HANDLER]),
]:
    getattr(x11, function).restype = result
    getattr(x11, function).argtypes = arguments


def send(display, window, key):
    event = Event()
    if key == "close":
        event.client = ClientMessage(CLIENT_MESSAGE, 0, 1, display, window, x11.XInternAtom(display, b"WM_PROTOCOLS", 0),
                                     32, (x11.XInternAtom(display, b"WM_DELETE_WINDOW", 0), 0, 0, 0, 0))
        x11.XSendEvent(display, window, 0, 0, event)
    else:
        code = x11.XKeysymToKeycode(display, x11.XStringToKeysym(key.encode()))
        for kind in (KEY_PRESS, KEY_RELEASE):
            event.key = KeyEvent(kind, 0, 1, display, window, x11.XDefaultRootWindow(display), 0, 0, 1, 1, 1, 1, 0,
                                 code, 1)
            x11.XSendEvent(display, window, 0, 0, event)
    x11.XFlush(display)


def title_of(display, window):
    name = ctypes.c_char_p()
    return name.value.decode() if x11.XFetchName(display, window, name) and name.value else ""


def main():
    steps = json.loads(sys.argv[1])
    forgive = ERROR_HANDLER(lambda display, error: 0)  # of windows that are gone
    x11.XSetErrorHandler(forgive)
    display = x11.XOpenDisplay(None)
    x11.XSelectInput(display, x11.XDefaultRootWindow(display), SUBSTRUCTURE_NOTIFY)
    x11.XFlush(display)
    with subprocess.Popen(sys.argv[2:]) as program:
        event, window, last = Event(), None, None
        while steps:
            x11.XNextEvent(display, event)
            if event.type == MAP_NOTIFY:
                window = event.map.window
                x11.XSelectInput(display, window, PROPERTY_CHANGE)
            if window is None or (title := title_of(display, window)) == last:
                continue
            last = title
            print(title, flush=True)
            if title == steps[0][0]:
                send(display, window, steps.pop(0)[1])
        return program.wait()


if __name__ == "__main__":
    sys.exit(main())
