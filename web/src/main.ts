import { mount } from 'svelte';
import App from './App.svelte';
import './styles/base.css';
import './styles/log.css';

const target = document.getElementById('page');
if (target === null) throw new Error('index.html has no #page');
mount(App, { target });
