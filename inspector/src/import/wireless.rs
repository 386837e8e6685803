//! The content of data frames of IEEE 802.11: an 802.2 header, and the bytes behind it.

/// The content of a frame, or the reason why it cannot be known.
pub(super) fn data(frame: &[u8]) -> Result<&[u8], &'static str> {
    let cut = "it is cut off in its 802.11 header";
    let [control, flags, ..] = *frame else { return Err(cut) };
    // Version 0, type 2.
    if control & 0x0F != 0x08 {
        return Err("frames that manage or control 802.11 have no addresses of IP");
    }
    let (is_empty, has_quality) = (control & 0x40 != 0, control & 0x80 != 0);
    if is_empty {
        return Err("802.11 frames without data have no addresses of IP");
    }
    let is_relayed = flags & 0x03 == 0x03;
    let mut head = if is_relayed { 30 } else { 24 };
    let sequence = frame.get(22).ok_or(cut)?;
    if flags & 0x04 != 0 || sequence & 0x0F != 0 {
        return Err("fragments of 802.11 are not put together");
    }
    if has_quality {
        let quality = frame.get(head).ok_or(cut)?;
        if quality & 0x80 != 0 {
            return Err("802.11 frames that hold several packets are not taken apart");
        }
        head += if flags & 0x80 != 0 { 6 } else { 2 };
    }
    if flags & 0x40 != 0 {
        return Err("it is encrypted");
    }
    frame.get(head..).ok_or(cut)
}

/// The same of a frame with a header of its receiver: <https://www.radiotap.org>.
pub(super) fn behind_radiotap(packet: &[u8]) -> Result<&[u8], &'static str> {
    let cut = "it is cut off in its radiotap header";
    let length = packet.get(2..4).ok_or(cut)?;
    let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
    let (header, frame) = packet.split_at_checked(length).ok_or(cut)?;
    if flags(header).is_some_and(|flags| flags & 0x20 != 0) {
        // Bytes that fill up the header of the frame stand in front of its data.
        return Err("802.11 frames with padding behind their header are not taken apart");
    }
    data(frame)
}

/// The field of flags, if the header has it.
fn flags(header: &[u8]) -> Option<u8> {
    let mut words = header.get(4..)?.chunks_exact(4).map(|word| word[3]);
    // Words say which fields follow, as long as their upper bit says that there is another one.
    let more = words.position(|upper| upper & 0x80 == 0)?;
    let present = header[4];
    let mut at = 8 + 4 * more;
    if present & 1 != 0 {
        at = at.next_multiple_of(8) + 8;
    }
    header.get(at).copied().filter(|_| present & 2 != 0)
}
