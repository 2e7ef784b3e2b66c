"""Where frames come from: files, streams, USB devices and CSI modules, behind one interface."""
