"""How much of who is who a thief of protected templates can find out, measured by attacking."""
