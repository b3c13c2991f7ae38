#include "text.h"

#include <stdlib.h>
#include <string.h>

void text_add(struct text *text, const uint8_t *bytes, size_t len) {
  if (len == 0) return;
  if (len > text->capacity - text->len) {
    size_t capacity = 2 * text->capacity;
    if (capacity < text->len + len) capacity = text->len + len;
    uint8_t *ptr = realloc(text->ptr, capacity);
    if (ptr == NULL) abort();
    text->ptr = ptr;
    text->capacity = capacity;
  }
  memcpy(text->ptr + text->len, bytes, len);
  text->len += len;
}

void text_push(struct text *text, uint8_t byte) { text_add(text, &byte, 1); }

void text_add_literal(struct text *text, const char *literal) {
  text_add(text, (const uint8_t *)literal, strlen(literal));
}

request_filter_string_t text_take(struct text *text) {
  request_filter_string_t taken = {text->ptr, text->len};
  if (text->len == 0) {
    // The generated code frees only strings that are not empty.
    free(text->ptr);
    taken.ptr = NULL;
  }
  *text = (struct text){0};
  return taken;
}
