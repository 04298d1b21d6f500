"""Why alarms come, for people: of every kind the usual cause, and what it means for the fruit of a lane."""

from citrus_grade.words import N_, _

_CAUSES = {
    "scan_gap": N_("a spectrometer, its trigger or its cable left out integrations, or this machine was too busy to take them"),
    "frame_gap": N_("a camera or its network left out frames, or this machine was too busy to take them"),
    "pulse_gap": N_("the PLC was not looked at for longer than a cup takes to pass"),
    "encoder_jump": N_("the encoder's count has jumped, or the PLC has set it anew"),
    "encoder_slip": N_("the encoder's wheel slips, or the chain has stretched or jumped a tooth"),
    "views_outside_window": N_("frames came later than `latency_ms` of the camera allows, or with a wrong count"),
    "scans_outside_window": N_("scans came later than `latency_ms` of the spectrometer allows, or with a wrong count"),
    "bad_frame": N_("a camera sends frames of another size or another colour than line.toml says"),
    "bad_message": N_("a device or a command names a lane, camera or outlet that line.toml does not have"),
    "lens_dirty": N_("dirt, wax or water in one place of the lens or its window"),
    "light_low": N_("a lamp is old, dirty or out"),
    "light_drift": N_("a film on the whole lens, or other light in the hood"),
    "focus_soft": N_("the lens has come loose, or is misted"),
    "dark_few": N_("the shutter did not stay closed, or the belt stood"),
    "dark_bright": N_("the shutter does not close, or light comes from elsewhere"),
    "dark_noisy": N_("the detector is warm, or its cable picks up noise"),
    "white_few": N_("the attenuator did not stay in the light, or the belt stood"),
    "white_clipped": N_("no attenuator stands in the light"),
    "white_level": N_("dirt on the window, an old or a new lamp, a wrong attenuator"),
    "white_shape": N_("something coloured in the light, or a new lamp"),
    "white_noisy": N_("the lamp flickers, or the attenuator is loose"),
    "integration_differs": N_("somebody has set the spectrometer's exposure anew since it was calibrated"),
    "shutter_stuck": N_("the shutter is jammed, or its drive has no air or current"),
    "lamp_level": N_("dirt on the window, or a lamp that fails"),
    "lamp_colour": N_("a lamp that fails, or its voltage has changed"),
    "fruit_unlike": N_("other fruit than the model was trained on, or references that are out of date"),
    "spectra_unlike": N_("dirt on the window, references that are out of date, or other fruit than the model knows"),
    "lanes_crossed": N_("two spectrometers' cables, or their entries in line.toml, are exchanged"),
    "spectra_out_of_step": N_("a wrong `station`, or a trigger that left one out or came once too often"),
    "clock_set": N_("somebody, or the network's time, has set the clock of this machine"),
    "unknown_artefact": N_("a command asks for a plan, model or calibration that was not loaded when the line was started"),
    "unfit_artefact": N_("the sort plan asks for what the model or the classifier does not tell"),
    "outlet_jammed": N_("a fruit or a leaf blocks it, or it has no air or current"),
    "outlet_silent": N_("the PLC's program or its output drives this outlet no more, or says nothing of it"),
    "outlet_full": N_("the packing place behind it takes no more"),
    "outlet_late": N_("an ejection came to the PLC after its moment"),
    "device": N_("a device or its cable, power or settings"),
    "scale_gone": N_("the box scale, its power, cable or settings"),
    "log_disk": N_("the disk of the run folder is full, broken or not to be written to"),
    "table_disk": N_("the disk of the run folder is full, broken or not to be written to"),
    "file_disk": N_("the disk of the run folder is full, broken or not to be written to"),
    "not_realtime": N_("line.toml says `live.realtime`, and this machine permits the program no fixed priority"),
    "caution": N_("the look at the devices before the start found something that works and is likely to go wrong"),
    "process_died": N_("an error of the program or of a maker's library, or the machine has run out of memory"),
    "process_silent": N_("a device or a disk does not answer and holds the process up, or this machine is too busy"),
    "process_back": N_("another process has taken the place of one that died"),
    "camera_gone": N_("the camera does not answer: power, cable or network"),
    "views_missing": N_("the camera answers and most fruit lack views: no trigger, no light, or frames that come too late"),
    "spectrometer_gone": N_("the spectrometer does not answer: power, cable or network"),
    "spectra_missing": N_("the spectrometer answers and most fruit have no scan: no trigger, or scans that come too late"),
    "plc_gone": N_("the PLC does not answer: power, cable, network, or it is stopped"),
    "emergency_stop": N_("somebody has pressed an emergency stop, or a guard is open"),
    "core_gone": N_("the process that decides is being started again"),
    "lane_off": N_("a command has switched the lane off"),
    "frames_torn": N_("the core was behind by more frames than the ring holds: this machine is too busy"),
    "frames_lost": N_("a camera's network lost packets for good, or the camera was triggered faster than it can take frames"),
    "frames_unplaced": N_("the PLC was not heard for a while, so nobody knew where the belt was"),
    "scans_unplaced": N_("the PLC was not heard for a while, so nobody knew where the belt was"),
    "shed_frames": N_("the core, or the disk of the log, did not take frames as fast as they came"),
    "shed_scans": N_("scans came faster than the process of the spectrometers passed them on: this machine is too busy"),
    "shed_messages": N_("the core, or the disk of the log, did not take messages as fast as they came"),
    "shed_words": N_("a process told more than the supervisor had time to read"),
    "decisions_unkept": N_("the disk has taken no decision for some minutes: it is full, broken or may only be read"),
    "shed_decisions": N_("the disk took nothing for so long that decisions were written over"),
    "ejections_refused": N_("the PLC does not answer, or its queue is full"),
    "ejections_unanswered": N_("the PLC took orders and did not say that it fired them: a fault of its program, or lost reports"),
    "ejections_late": N_("the decision was late, or the PLC slow to take it"),
    "bad_messages": N_("a device sends what its driver can't read: a wrong setting, or a bad cable"),
    "reports_lost": N_("the PLC reported faster than it was looked at, or was not looked at for a while"),
    "slow_polls": N_("the PLC or its network was slow to answer, or this machine is too busy"),
}

_MEANINGS = {
    "lane_off": N_("its fruit are not graded and go to the default outlet"),
    "camera_gone": N_("its fruit are not seen whole; they go to the default outlet"),
    "views_missing": N_("its fruit are not seen whole; they go to the default outlet"),
    "spectrometer_gone": N_("its fruit are sized and coloured only; where the sort plan asks for more, to the default outlet"),
    "spectra_missing": N_("its fruit are sized and coloured only; where the sort plan asks for more, to the default outlet"),
    "plc_gone": N_("nothing more is fired than is queued in the PLC; the rest goes to the default outlet"),
    "core_gone": N_("what passes meanwhile goes to the default outlet"),
    "outlet_jammed": N_("its fruit go to another outlet of their grade, or to the default outlet"),
    "outlet_full": N_("its fruit go to another outlet of their grade, or to the default outlet"),
}


def cause(kind: str) -> str:
    """Return why alarms of a kind come, in the language set, "" of a kind that nobody knows."""
    return _(_CAUSES[kind]) if kind in _CAUSES else ""


def meaning(kind: str) -> str:
    """Return what a lane's trouble means for its fruit, in the language set, "" of a kind that is none."""
    return _(_MEANINGS[kind]) if kind in _MEANINGS else ""
