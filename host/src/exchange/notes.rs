//! A filter's private state between the phases of one exchange.

/// The largest size of a filter's notes, keys and values together. Bytes.
pub(crate) const MAX_NOTE_BYTES: usize = 4 * 1024;

/// The notes of all filters of a chain. Few, so a list that is searched.
#[derive(Debug, Default)]
pub struct Notes {
    entries: Vec<Note>,
}

#[derive(Debug)]
struct Note {
    position: u16,
    key: String,
    value: Vec<u8>,
}

impl Notes {
    /// The note of the filter at this position, by its key.
    #[must_use]
    pub(crate) fn find(&self, position: u16, key: &str) -> Option<&Vec<u8>> {
        self.entries
            .iter()
            .find(|note| note.position == position && note.key == key)
            .map(|note| &note.value)
    }

    /// Note something; gives what it replaced.
    ///
    /// # Errors
    ///
    /// It does not fit into [`MAX_NOTE_BYTES`].
    pub(crate) fn set(
        &mut self,
        position: u16,
        key: String,
        value: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, NoteTooLarge> {
        let mut others = 0;
        let mut found = None;
        for (index, note) in self.entries.iter().enumerate() {
            if note.position != position {
                continue;
            }
            if note.key == key {
                found = Some(index);
            } else {
                others += note.key.len() + note.value.len();
            }
        }
        if others + key.len() + value.len() > MAX_NOTE_BYTES {
            return Err(NoteTooLarge);
        }
        match found.and_then(|index| self.entries.get_mut(index)) {
            Some(note) => Ok(Some(std::mem::replace(&mut note.value, value))),
            None => {
                self.entries.push(Note {
                    position,
                    key,
                    value,
                });
                Ok(None)
            }
        }
    }

    /// Put back what [`Self::set`] replaced.
    pub(crate) fn restore(&mut self, position: u16, key: String, old: Option<Vec<u8>>) {
        self.entries
            .retain(|note| note.position != position || note.key != key);
        if let Some(value) = old {
            self.entries.push(Note {
                position,
                key,
                value,
            });
        }
    }
}

/// The notes of one filter would pass [`MAX_NOTE_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the notes of one filter in a chain hold at most {MAX_NOTE_BYTES} bytes")]
pub(crate) struct NoteTooLarge;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_its_own_notes_and_its_own_limit() {
        let mut notes = Notes::default();
        let value: Vec<u8> = vec![1; MAX_NOTE_BYTES - 1];
        assert_eq!(notes.set(0, "k".into(), value.clone()), Ok(None));
        assert_eq!(notes.set(1, "k".into(), value.clone()), Ok(None));
        assert_eq!(notes.set(0, "l".into(), vec![1]), Err(NoteTooLarge));
        assert_eq!(notes.set(0, "k".into(), vec![2]), Ok(Some(value)));
        notes.restore(0, "k".into(), None);
        assert!(notes.find(0, "k").is_none());
        assert!(notes.find(1, "k").is_some());
    }
}
