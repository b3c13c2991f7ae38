// A text that grows. It never fails: without memory it traps.

#ifndef TEXT_H
#define TEXT_H

#include "request_filter.h"

// `len` bytes at `ptr`, in an allocation of `capacity` bytes.
struct text {
  uint8_t *ptr;
  size_t len;
  size_t capacity;
};

void text_push(struct text *text, uint8_t byte);
void text_add(struct text *text, const uint8_t *bytes, size_t len);
void text_add_literal(struct text *text, const char *literal);

// The text as the component model's string, which owns the allocation afterwards.
request_filter_string_t text_take(struct text *text);

#endif
