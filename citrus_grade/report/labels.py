"""Names of what is measured and decided, for people. Imports no drawing."""

from collections.abc import Sequence

from citrus_grade.words import N_, _

_LABELS = {
    "graded": N_("graded"),
    "empty": N_("empty cup"),
    "double": N_("two fruit in a cup"),
    "bridging": N_("fruit across two cups"),
    "missing_view": N_("view missing"),
    "missing_spectrum": N_("spectrum missing"),
    "saturated": N_("spectrum saturated"),
    "out_of_domain": N_("unlike any fruit the model knows"),
    "late": N_("decided too late"),
    "outlet_full": N_("outlet full"),
    "outlet_fault": N_("outlet faulty"),
    "no_rule": N_("no rule takes it"),
    "lane_off": N_("lane switched off"),
    "ungraded": N_("ungraded"),
    "default": N_("default (end of belt)"),
    "ssc_brix": N_("sugar (SSC), °Brix"),
    "ta_pct": N_("acid (TA), citric acid %"),
    "diameter_mm": N_("equatorial diameter, mm"),
    "height_mm": N_("height, mm"),
    "mass_g": N_("mass, g"),
    "blemish_pct": N_("blemished skin, %"),
    "blemish_count": N_("blemishes"),
    "largest_blemish_mm": N_("largest blemish, mm"),
    "coverage_pct": N_("surface seen, %"),
    "green_pct": N_("green skin, %"),
    "deep_orange": N_("deep orange"),
    "orange": N_("orange"),
    "yellow_orange": N_("yellow-orange"),
    "yellow": N_("yellow"),
    "yellow_green": N_("yellow-green"),
    "green": N_("green"),
    "dark_green": N_("dark green"),
    "brown": N_("brown"),
    "grey": N_("grey"),
    "black": N_("black"),
    "scan_gap": N_("scans missing"),
    "frame_gap": N_("frames missing"),
    "pulse_gap": N_("encoder pulses missing"),
    "encoder_jump": N_("encoder jumped"),
    "encoder_slip": N_("encoder slipped"),
    "views_outside_window": N_("views came too early or too late"),
    "scans_outside_window": N_("scans came too early or too late"),
    "bad_frame": N_("frame of a wrong size"),
    "bad_message": N_("message about something this line does not have"),
    "lens_dirty": N_("dirt on a lens"),
    "light_low": N_("light has become weaker"),
    "light_drift": N_("picture has become brighter"),
    "focus_soft": N_("picture has become soft"),
    "dark_few": N_("new dark refused: too few scans"),
    "dark_bright": N_("new dark refused: light in it"),
    "dark_noisy": N_("new dark refused: too noisy"),
    "white_few": N_("new white refused: too few scans"),
    "white_clipped": N_("new white refused: clipped"),
    "white_level": N_("new white refused: too much or too little light"),
    "white_shape": N_("new white refused: not the lamp's colour"),
    "white_noisy": N_("new white refused: too noisy"),
    "integration_differs": N_("spectrometer exposed otherwise than its references"),
    "shutter_stuck": N_("shutter of a spectrometer does not open"),
    "lamp_level": N_("light of a spectrometer's lamp has changed"),
    "lamp_colour": N_("colour of a spectrometer's lamp has changed"),
    "fruit_unlike": N_("fruit have become unlike those of the model"),
    "spectra_unlike": N_("spectra hold what the model has not seen"),
    "lanes_crossed": N_("spectra are those of another lane"),
    "spectra_out_of_step": N_("spectra are those of neighbouring fruit"),
    "unknown_artefact": N_("unknown artefact asked for"),
    "unfit_artefact": N_("artefact asked for does not fit the others in use"),
    "outlet_jammed": N_("outlet jammed"),
    "outlet_silent": N_("outlet fires nothing"),
    "outlet_late": N_("outlet fired late"),
    "device": N_("device"),
    "scale_gone": N_("box scale gone"),
    "log_disk": N_("run log does not reach the disk"),
    "table_disk": N_("fruit table does not reach the disk"),
    "file_disk": N_("file of the run does not reach the disk"),
    "not_realtime": N_("process without a fixed priority"),
    "caution": N_("caution about a device"),
    "process_died": N_("process died"),
    "process_silent": N_("process stood still"),
    "process_back": N_("process works again"),
    "clock_set": N_("clock of the machine was set"),
    "camera_gone": N_("camera gone"),
    "views_missing": N_("views do not come"),
    "spectrometer_gone": N_("spectrometer gone"),
    "spectra_missing": N_("spectra do not come"),
    "plc_gone": N_("PLC gone"),
    "emergency_stop": N_("emergency stop"),
    "core_gone": N_("nothing is decided"),
    "frames_torn": N_("frames written over before they were looked at"),
    "frames_lost": N_("frames a camera took that never came"),
    "frames_unplaced": N_("frames of no known place on the belt"),
    "scans_unplaced": N_("scans of no known place on the belt"),
    "shed_frames": N_("frames for which there was no room"),
    "shed_scans": N_("scans for which there was no room"),
    "shed_messages": N_("messages for which there was no room"),
    "shed_words": N_("words of a process that nobody heard"),
    "decisions_unkept": N_("decisions that the disk does not take"),
    "shed_decisions": N_("decisions that never reached the disk"),
    "ejections_refused": N_("ejections the PLC did not take"),
    "ejections_unanswered": N_("ejections of which the PLC never said that they were fired"),
    "ejections_late": N_("ejections queued after their last moment"),
    "reports_lost": N_("reports of the PLC that nobody read"),
    "slow_polls": N_("slow answers of the PLC"),
    "bad_messages": N_("messages of a device that made no sense"),
}

_SENSORS = N_("check the trigger and the cable, and that nothing else loads this machine; such fruit go to the default outlet")
_BUSY = N_("{where}: stop whatever else loads this machine; if it comes again, a faster one or a slower belt")
_REMEDIES = {
    "scan_gap": _SENSORS,
    "frame_gap": _SENSORS,
    "views_outside_window": N_("raise `latency_ms` of the camera in line.toml, and see what loads this machine"),
    "scans_outside_window": N_("raise `latency_ms` of the spectrometer in line.toml, and see what loads this machine"),
    "pulse_gap": N_("check the PLC's network and see what loads this machine; those cups went to the default outlet"),
    "encoder_jump": N_("check the encoder, its cable and the PLC's counter; the fruit on the belt went to the default outlet"),
    "encoder_slip": N_("check the encoder's wheel and coupling, and the chain's tension"),
    "bad_frame": N_("set size and pixel format of the {where} as line.toml says, or correct line.toml"),
    "bad_message": N_("{where}: correct the device's settings, the command or line.toml, so that they agree"),
    "unknown_artefact": N_("{where}: name it in line.toml and start the line again; until then the one in use stays"),
    "unfit_artefact": N_("{where}: choose a plan, a model and a classifier that fit; until then the one in use stays"),
    "outlet_jammed": N_("lane {lane}, outlet {outlet}: clear it and acknowledge it at the PLC"),
    "outlet_silent": N_(
        "lane {lane}, outlet {outlet}: the PLC takes orders for it and says nothing of them. See whether it"
        " fires, its output, its fuse and its air; else take it out of the sort plan"
    ),
    "outlet_full": N_("outlet {outlet}: empty the packing place behind it"),
    "outlet_late": N_("lane {lane}, outlet {outlet}: see what slows this machine or the PLC, or raise `lead_ms`"),
    "camera_gone": N_("{where}: check its power, its cable and its network; it is opened again by itself"),
    "views_missing": N_("lane {lane}: check the camera's trigger, its lamps and its lens, and `latency_ms`"),
    "spectrometer_gone": N_(
        "lane {lane}: check its spectrometer's power and cable; it is opened again by itself. The others go on"
    ),
    "spectra_missing": N_("lane {lane}: check its spectrometer's trigger and shutter, and `latency_ms`. The others go on"),
    "plc_gone": N_("check the PLC's power, cable and network, and that it runs; it is opened again by itself"),
    "emergency_stop": N_("see why it was pressed; then release it, acknowledge it at the panel, and start the belt there"),
    "core_gone": N_("wait some seconds; if it stays so, stop the line and send the run folder to whoever keeps it"),
    "lane_off": N_("lane {lane}: nothing to do; the command `lane_on` switches it on"),
    "frames_torn": _BUSY,
    "frames_lost": N_(
        "{where}: check the camera's network: cable, switch, packet size and delay; such fruit go to the default outlet"
    ),
    "frames_unplaced": N_("{where}: check the PLC's power, cable and network; these fruit went to the default outlet"),
    "scans_unplaced": N_("{where}: check the PLC's power, cable and network; these fruit have no spectrum"),
    "shed_frames": _BUSY,
    "shed_scans": _BUSY,
    "shed_messages": _BUSY,
    "shed_words": N_("{where}: look for what it tells again and again in the list of alarms, and mend that"),
    "decisions_unkept": N_("stop the belt and free space on the disk or change it, before decisions are lost"),
    "shed_decisions": N_("{where}: free space on the disk or change it; packout and settlement lack these fruit"),
    "ejections_refused": N_("{where}: check the PLC and its network; these fruit went to the default outlet"),
    "ejections_unanswered": N_("{where}: such fruit may have run on to the end of the belt; see whether the outlets fire"),
    "ejections_late": N_("{where}: slow the belt down or stop what loads this machine; these fruit may have missed their outlet"),
    "bad_messages": N_("{where}: check the device's settings and cable"),
    "reports_lost": N_(
        "{where}: check the PLC's network; what its outlets did meanwhile is not known, their state is asked anew"
    ),
    "slow_polls": N_("{where}: check the PLC's network and load; if it comes often raise `lead_ms`"),
    "lens_dirty": N_("clean the lens of camera {camera}; over lane {lane}, window {window} it is worst"),
    "light_low": N_("check the lamps of camera {camera} and clean them: its pictures are darker than at first"),
    "light_drift": N_("clean the whole lens of camera {camera}, then check its lamps: its pictures are brighter than at first"),
    "focus_soft": N_("clean and focus the lens of camera {camera} and make it fast: outlines are softer than at first"),
    "device": "{where}",
    "caution": "{where}",
    "scale_gone": N_("{where}; no box is weighed until it is back, and it is opened again by itself. Fruit are graded as before"),
    "log_disk": N_(
        "{where}: free space on the disk or change it. Fruit are graded as before; the log goes on by itself in a new file, and"
        " what passes until then cannot be replayed"
    ),
    "table_disk": N_(
        "{where}: free space on the disk or change it. Fruit are graded as before; decisions wait in memory, after some minutes"
        " the oldest are lost"
    ),
    "file_disk": "{where}",
    "not_realtime": N_(
        "{where}: give the program CAP_SYS_NICE, or LimitRTPRIO= in its unit; until then it may be late when this machine is busy"
    ),
    "process_died": N_(
        "{where}: another takes its place; if it dies again and again send the run folder to whoever keeps the line"
    ),
    "process_silent": N_("{where}: it is killed and another takes its place; see what else loads this machine"),
    "process_back": N_("{where}: nothing to do; fruit that passed meanwhile went to the default outlet"),
    "dark_few": N_(
        "lane {lane}: {measured} scans behind the shutter agree, {limit} are needed; the old dark stays. Check that the shutter"
        " closes and that the belt runs, then ask again"
    ),
    "dark_bright": N_(
        "lane {lane}: of the white's light {measured} % have come past the shutter, at most {limit} % may; the old dark stays."
        " Check"
        " the shutter and stray light, then ask again"
    ),
    "dark_noisy": N_(
        "lane {lane}: of full scale the dark's noise is {measured} %, at most {limit} % may be; the old dark stays. Check the"
        " shutter, the detector's temperature and its cable, then ask again"
    ),
    "white_few": N_(
        "lane {lane}: {measured} scans through the attenuator agree, {limit} are needed; the old white stays. Check that the"
        " attenuator moves and that the belt runs, then ask again"
    ),
    "white_clipped": N_(
        "lane {lane}: the white reaches {measured} counts, it clips at {limit}; the old white stays. Check that the attenuator"
        " stands in the light, then ask again"
    ),
    "white_level": N_(
        "lane {lane}: the white's light is {measured} % when the calibration's is 100 %, the limit is {limit} %; the old white"
        " stays. Wipe the window, check lamp and attenuator; after a new lamp calibrate the lane"
    ),
    "white_shape": N_(
        "lane {lane}: the white's colour is {measured} % away from the calibration's, at most {limit} % may; the old white"
        " stays. Look for fruit or dirt in the light; after a new lamp calibrate the lane"
    ),
    "white_noisy": N_(
        "lane {lane}: of the white's light {measured} % are noise, at most {limit} % may be; the old white stays. Check the"
        " lamp's supply and the attenuator's seat, then ask again"
    ),
    "integration_differs": N_(
        "lane {lane}: scans are exposed for {measured} us, the references were for {limit} us; set the exposure back, or"
        " calibrate the lane at this one"
    ),
    "shutter_stuck": N_("lane {lane}: fruit get no spectrum, for the shutter does not open; free it, or switch the lane off"),
    "lamp_level": N_(
        "lane {lane}: the light of empty cups differs by {change} % now, measured against the last references;"
        " wipe the window, then ask for a white;"
        " if it comes back, change the lamp"
    ),
    "lamp_colour": N_(
        "lane {lane}: the lamp's longer waves have changed by {change} % against its shorter ones; wipe the window, then ask for"
        " a white; if it comes back, change the lamp"
    ),
    "lanes_crossed": N_(
        "lane {lane}: its light fits the fruit of lane {other}, so no spectrum of this lane is used; swap cables or the entries"
        " in spectrometer.device, or correct lane_y_px of the cameras"
    ),
    "fruit_unlike": N_(
        "lane {lane}: T2 has risen by {change} % beyond that of the model's own fruit; ask for dark and white; if it stays, take"
        " sample fruit and run `citrus-grade upkeep`"
    ),
    "spectra_unlike": N_(
        "lane {lane}: Q has risen by {change} % beyond that of the model's own fruit; wipe the window, ask for dark and white; if"
        " it stays, take sample fruit and run `citrus-grade upkeep`"
    ),
    "spectra_out_of_step": N_(
        "lane {lane}: a cup's light fits the fruit of the cup beside it, so no spectrum of this lane is used; check"
        " spectrometer.station, the trigger's cable and the belt, then begin a new run"
    ),
    "clock_set": N_(
        "the machine's clock was set by {where}: times told before and after do not compare; nothing else hangs on it"
    ),
}


def label(name: str) -> str:
    """Return the label of ``name`` in the language set, or the name itself where there is none."""
    return _(_LABELS[name]) if name in _LABELS else name


def remedy(kind: str, where: str, outlets: Sequence[str] = ()) -> str:
    """Return what to do about an alarm, in the language set, "" where nothing is known to help.

    ``where``: the alarm's; an outlet in it is a number, and is called by its name in ``outlets`` where that is known.
    """
    words = where.split()
    named = dict(zip(words[::2], words[1::2], strict=False))
    if named.get("lane") == "-1":
        named["lane"] = _("all")
    if "outlet" in named:
        named["outlet"] = _outlet(named["outlet"], outlets)
    return _(_REMEDIES[kind]).format(**named | {"where": where}) if kind in _REMEDIES else ""


def _outlet(number: str, outlets: Sequence[str]) -> str:
    if number.isdecimal() and int(number) < len(outlets):
        return outlets[int(number)]
    return _("{number} (the first is 0)").format(number=number)


def english(name: str) -> str:
    """Return the label of ``name`` in English, for pictures where no font has other letters."""
    return _LABELS.get(name, name)
