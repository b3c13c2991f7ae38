-- Before every script. KEYS[1] is the hash `meta`; all other names are made from its own, whose
-- hash tag they share. Gives what the store is; makes it, where it was empty, with the id that
-- the caller brought and the moment: one caller may make it twice. Gives an error, to be answered, where a later program wrote it.
local base = string.sub(KEYS[1], 1, -5)
local function open_store(new_id)
    local meta = redis.call('HMGET', KEYS[1], 'schema', 'store', 'revision', 'floor')
    if not meta[1] then
        local time = redis.call('TIME')
        new_id = new_id .. ':' .. time[1] .. '.' .. time[2]
        redis.call('HSET', KEYS[1], 'schema', '1', 'store', new_id, 'revision', '0', 'floor', '0')
        return { store = new_id, revision = '0', floor = '0' }
    end
    if meta[1] ~= '1' then
        return { err = 'SCHEMA ' .. meta[1] }
    end
    return { store = meta[2], revision = meta[3], floor = meta[4] }
end
-- A kept record is its revision, a space and its JSON.
local function revision_of(row)
    return row and string.match(row, '^%d+') or '0'
end
local function record_of(row)
    return cjson.decode(string.match(row, '^%d+ (.*)$'))
end
